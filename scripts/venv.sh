# Sourced by the scripts beside it: `make_venv EXTRA` makes .venv with blockgraph[EXTRA] and puts it on PATH.
# BLOCKGRAPH_VENV names another folder for it. Needs Python 3.11+ and nothing else.

find_python() {
    for name in ${PYTHON:-} python3.14 python3.13 python3.12 python3.11 python3 python py; do
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$name" && return
    done
    echo "Python 3.11 or newer is needed and was not found. Install it from python.org, with 'brew install python'," >&2
    echo "'winget install Python.Python.3.13' or 'apt install python3 python3-venv', or name it: PYTHON=/path/to/python $0" >&2
    exit 2
}

make_venv() {
    venv=${BLOCKGRAPH_VENV:-.venv}
    if ! [ -x "$venv/bin/python" ] && ! [ -x "$venv/Scripts/python.exe" ]; then
        python=$(find_python) || exit 2
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        "$python" -c 'import venv, ensurepip' 2>/dev/null || {
            echo "This Python ($python $version) has no venv or pip. Install the package python$version-venv, e.g.:" >&2
            echo "    apt install python$version-venv        (or: apt install python3-venv python3-pip)" >&2
            exit 2
        }
        "$python" -m venv "$venv"
    fi
    [ -d "$venv/Scripts" ] && bin=$venv/Scripts || bin=$venv/bin
    PATH="$(cd "$bin" && pwd):$PATH"
    wanted="$(cat pyproject.toml constraints.txt | cksum) $PWD"
    if [ "$(cat "$venv/installed-$1" 2>/dev/null)" != "$wanted" ]; then
        python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${1:+[$1]}"
        echo "$wanted" >"$venv/installed-$1"
    fi
}
