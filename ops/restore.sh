#!/usr/bin/env bash
# Restores a backup into an empty database and has it verified; status 0 only where all of it is intact.
#
#   DATABASE_OWNER_URL=postgresql://… DATABASE_URL=postgresql://… ops/restore.sh FILE
#
# PG_BIN: the folder that has pg_restore and psql. PYTHON: the interpreter that has Forge's packages. The roles must exist.
set -euo pipefail

file=$(realpath "${1:?Name the file of the backup.}")
: "${DATABASE_OWNER_URL:?Set it to the address of the owner in the empty database.}"
: "${DATABASE_URL:?Set it to the address of the application in the same database.}"
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

(cd "$(dirname "$file")" && sha256sum --check --quiet "$(basename "$file").sha256")
tables=$("${PG_BIN:+$PG_BIN/}psql" --no-password -XAtc \
    "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace" \
    "$DATABASE_OWNER_URL")
if [ "$tables" != 0 ]; then
    echo "The database has $tables tables already: nothing was restored." >&2
    exit 1
fi
# One transaction: a restore that fails leaves the database as empty as it was.
"${PG_BIN:+$PG_BIN/}pg_restore" --no-password --no-owner --exit-on-error --single-transaction \
    --dbname="$DATABASE_OWNER_URL" "$file"

"$python" manage.py migrate --check
"$python" manage.py audit_verify
"$python" manage.py prove_books --all --dry-run
echo "Restored and intact: $(basename "$file")"
