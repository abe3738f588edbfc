#!/usr/bin/env bash
# Train water-rpbe-d3, each stage from the one before; an hour on one core.
#   bash inputs/water/rpbe-d3/train.sh DATA [RUNS]
# DATA is the folder of the frames; a stage that has its model is skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?folder of the data files}
runs=${2:-runs/water-rpbe-d3}
from=()
for stage in 1-pbe0-ts 2-scan 3-revpbe0-d3 4-together 5-together 6-rpbe-d3; do
  resume=()
  if [ -e "$runs/$stage/training/last.ckpt" ]; then resume=(--resume); fi
  if [ ! -e "$runs/$stage/errors.json" ]; then
    les-ipi train "$here/$stage.toml" "${from[@]}" --data-root "$data" --output "$runs/$stage" --threads 1 "${resume[@]}"
  fi
  from=(--from "$runs/$stage")
done
