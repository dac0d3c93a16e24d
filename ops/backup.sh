#!/usr/bin/env bash
# One file with all of Forge's database, and its SHA-256 beside it.
#
#   DATABASE_OWNER_URL=postgresql://… ops/backup.sh FOLDER      (PG_BIN: the folder that has pg_dump)
set -euo pipefail

folder=${1:?Name the folder for the backup.}
: "${DATABASE_OWNER_URL:?Set it to the address of the owner: PostgreSQL itself, not a pooler.}"
pg_dump=${PG_BIN:+$PG_BIN/}pg_dump

name=forge-$(date -u +%Y%m%dT%H%M%SZ).dump
mkdir -p "$folder"
umask 077 # it holds personal data and hashes of passwords
# What is half written has another name: a backup that was cut off is never taken for one.
trap 'rm -f "$folder/.$name.part"' EXIT
# The owner is bound by row-level security too: it asks for the rows of all organizations (docs/isolation.md).
export PGOPTIONS="${PGOPTIONS:-} -c forge.organization=*"
"$pg_dump" --enable-row-security --format=custom --no-password --lock-wait-timeout=60s --file="$folder/.$name.part" "$DATABASE_OWNER_URL"
"${PG_BIN:+$PG_BIN/}pg_restore" --list "$folder/.$name.part" >/dev/null
sync "$folder/.$name.part"
mv "$folder/.$name.part" "$folder/$name"
(cd "$folder" && sha256sum "$name" >"$name.sha256")
echo "$folder/$name"
