#!/usr/bin/env bash
# Lint, types and the whole test suite, in two processes; sets up what the machine lacks. Arguments go to pytest instead.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

prepare dev
cd "${root:?}"
if [ $# = 0 ]; then set -- -n 2 --dist loadfile; fi
status=0
python -m ruff check . || status=1
python -m mypy bert_ms serving || status=1
python -m pytest "$@" || status=$?
exit $status
