#!/usr/bin/env bash
# Brings the database to this release while the web servers and workers of the one before go on; called from the new release.
#
#   DATABASE_OWNER_URL=postgresql://… DATABASE_URL=postgresql://… ops/upgrade.sh
#
# No statement waits longer than LOCK_SECONDS (5) for a lock: whoever comes after one that waits has to wait too. A
# migration that does not get its lock is taken back whole and tried again, at most TRIES (20) times.
# PYTHON: the interpreter that has Forge's packages.
set -euo pipefail

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
tries=${TRIES:-20}
said=$(mktemp)
trap 'rm -f "$said"' EXIT

for ((try = 1; try <= tries; try++)); do
    if "$python" manage.py migrate --noinput --lock-timeout "${LOCK_SECONDS:-5}" >"$said" 2>&1; then
        cat "$said"
        "$python" manage.py migrate --check
        echo "The database is of this release; replace the workers and the web servers now, a few at a time."
        exit 0
    fi
    if ! grep -Eq "psycopg.errors.(LockNotAvailable|DeadlockDetected)" "$said"; then
        cat "$said" >&2
        exit 1
    fi
    echo "Somebody holds a lock that a migration needs (try $try of $tries)." >&2
    sleep 1
done
echo "No migration got its lock in $tries tries: look for a long transaction in pg_stat_activity." >&2
exit 1
