# For a shell that follows these guides: `. docs/session.sh ROLE [TEAM]` speaks to the API of the running demo as its
# first sign-in of that role. With another installation set API (…/api/v1) and TOKEN yourself and leave ROLE away.
#
#   call METHOD PATH [JSON [MORE OF CURL…]]   prints the answer; fails where it is a refusal, and prints that
#   pick results.0.id                         one value of the answer that it reads
#   finish OPERATION                          waits until that operation has ended; fails unless it succeeded

_of_the_demo() {
    python3 - "$@" <<'PYTHON'
import json, os, sys

demo = json.load(open(os.environ.get("FORGE_HOME", ".forge") + "/demo.json"))
role, team, free = (sys.argv[1:] + ["", ""])[:3]
found = [user for user in demo["users"] if user["role"] == role and team in ("", user["team"])]
found.sort(key=lambda user: user["has_machine"])
if not found:
    sys.exit(f"The demo has no sign-in for {role} {team}".rstrip() + ".")
print(f"API={demo['base_url']}/api/v1 TOKEN={found[0]['api_token']} EMAIL={found[0]['email']}")
PYTHON
}

call() {
    local method=$1 path=$2
    shift 2
    if [ $# -gt 0 ]; then
        local body=$1
        shift
        set -- --data "$body" "$@"
    fi
    curl --silent --show-error --fail-with-body --write-out '\n' --request "$method" \
        --header "Authorization: Bearer $TOKEN" --header 'Content-Type: application/json' "$@" "$API$path"
}

pick() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for part in sys.argv[1].split("."):
    value = value[int(part)] if isinstance(value, list) else value[part]
print(value if isinstance(value, str) else json.dumps(value))' "$1"
}

finish() {
    local status
    while true; do
        status=$(call GET "/operations/$1/" | pick status) || return
        case $status in
        succeeded) break ;;
        failed | cancelled) echo "The operation $1 has $status." >&2; return 1 ;;
        esac
        sleep 1
    done
}

if [ $# -gt 0 ]; then
    _session=$(_of_the_demo "$@") && eval "$_session"
fi
