# shellcheck shell=bash
# Makes virtual environments in the current folder from locked requirements. Sourced, not run.

# Find a Python of at least 3.11 that can make virtual environments; on a bare Debian as root, install
# what Debian splits off. Prints the interpreter.
find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            if ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
                install_venv "$candidate" || continue
            fi
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer with the venv module is needed" \
        "(on Debian and Ubuntu: apt-get install python3 python3-venv)." >&2
    return 1
}

install_venv() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    local version
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    {
        apt-get -q update
        DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends \
            "python$version-venv" ca-certificates
    } >&2
}

# ensure_environment FILE [FOLDER]: FOLDER (.venv) holds exactly what FILE says, hashes checked; quick
# when it does.
ensure_environment() {
    local file=$1 folder=${2:-.venv} stamp wanted python
    stamp=$folder/.${file##*/}.sha256
    wanted=$(sha256sum "$file")
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$folder/bin/python" ] && return
    echo "Making $folder from $file ..." >&2
    if [ ! -x "$folder/bin/python" ]; then
        python=$(find_python)
        "$python" -m venv "$folder"
    fi
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --no-deps -r "$file"
    echo "$wanted" >"$stamp"
}
