#!/usr/bin/env bash
# Serve models over HTTP; sets up what the machine lacks.
#
#   bash scripts/serve.sh                                       MiniLM's vectors, and the sample's answers once run_squad.sh has run
#   bash scripts/serve.sh --sample                              both: trains on the sample first, where that was not done
#   bash scripts/serve.sh minilm qa=runs/squad_base --port 9000
#
# The arguments go to `bert-ms serve`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

case "${1:-}" in
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
esac
if [ "${1:-}" = --sample ]; then
    shift
    [ -f runs/squad_sample/card.md ] || bash "$(dirname "${BASH_SOURCE[0]}")/run_squad.sh"
    set -- minilm squad_sample=runs/squad_sample "$@"
fi
prepare serve
exec python -m bert_ms.cli serve "$@"
