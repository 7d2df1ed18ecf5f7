#!/usr/bin/env bash
# Fine-tune and evaluate on SQuAD; sets up what the machine lacks.
#
#   bash scripts/run_squad.sh                                   the embedded default on the packaged sample
#   bash scripts/run_squad.sh 2                                 the same with two workers
#   bash scripts/run_squad.sh -c squad_base source=DIR train_file=train-v1.1.json eval_file=dev-v1.1.json
#   bash scripts/run_squad.sh 8 -c squad_base_ascend source=DIR train_file=... eval_file=...
#
# The first number is how many devices (CPU: worker processes) share the work; the rest goes to `bert-ms train`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

devices=1
case "${1:-}" in
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
    [0-9]*) devices=$1 && shift ;;
esac
prepare ""
exec python -m bert_ms.cli train -c squad_sample --devices "$devices" "$@"
