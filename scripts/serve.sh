#!/usr/bin/env bash
# Serve models over HTTP; sets up what the machine lacks.
#
#   bash scripts/serve.sh                                       MiniLM's vectors, and the sample's answers once run_squad.sh has run
#   bash scripts/serve.sh minilm qa=runs/squad_base --port 9000
#
# The arguments go to `bert-ms serve`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

case "${1:-}" in
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
esac
prepare serve
exec python -m bert_ms.cli serve "$@"
