#!/usr/bin/env bash
# Make .venv from requirements.lock, if it is missing or was made from another lock.
#
# uv installs in seconds what takes pip half a minute, so pip fetches it first; where uv cannot be had or fails, pip
# does the work. Either way every file must match a hash in the lock.
set -euo pipefail
cd "$(dirname "$0")/../.."

marker=.venv/requirements.lock
if cmp -s requirements.lock "$marker"; then
    exit 0
fi

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$candidate"
            return
        fi
    done
    echo "Forge needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 if it has another name." >&2
    return 1
}

make_venv() {
    local python
    python=$(find_python)
    echo "Making .venv with $("$python" --version) …"
    rm -rf .venv
    # Debian keeps ensurepip in a package of its own: without it, the system's pip installs into the new .venv.
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install -qq pip
    fi
}

pip_setting() {
    .venv/bin/python -m pip config get "$1" 2>/dev/null || true
}

install_with_uv() {
    .venv/bin/python -m pip install -qq --disable-pip-version-check uv || return 1
    # uv does not read pip's configuration; hand it the indexes and the certificates that pip uses on this machine.
    local index extra links certificates
    index=${PIP_INDEX_URL:-$(pip_setting global.index-url)}
    extra=${PIP_EXTRA_INDEX_URL:-$(pip_setting global.extra-index-url)}
    links=${PIP_FIND_LINKS:-$(pip_setting global.find-links)}
    certificates=${PIP_CERT:-$(pip_setting global.cert)}
    [ -z "$certificates" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    [ -z "$extra" ] || export UV_INDEX="${UV_INDEX:-$extra}"
    [ -z "$links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-${links// /,}}"
    # As pip does, any index may have the file: the hashes decide.
    export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
    # The system's certificates as pip uses them, else those that uv brings along.
    local system
    for system in true false; do
        if UV_SYSTEM_CERTS=$system UV_LINK_MODE="${UV_LINK_MODE:-copy}" .venv/bin/uv pip install --quiet \
            --python .venv/bin/python --require-hashes --no-deps -r requirements.lock; then
            return
        fi
    done
    return 1
}

install_with_pip() {
    echo "uv did not install it; pip takes a little longer …" >&2
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
}

# A .venv whose Python is gone (a moved checkout, an upgraded system) is made anew.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    make_venv
fi
echo "Installing requirements.lock into .venv …"
install_with_uv || install_with_pip
cp requirements.lock "$marker"
