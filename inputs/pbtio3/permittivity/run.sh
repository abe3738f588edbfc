#!/usr/bin/env bash
# Static susceptibility of paraelectric lead titanate: a run without a field and two in opposite ones, then table and figure.
#   bash inputs/pbtio3/permittivity/run.sh [RUNS]
# A finished run is skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/permittivity}
for field in free plus minus; do
  directory="$runs/$field"
  [ -e "$directory/DONE" ] && continue
  resume=(); [ -e "$directory/RESTART" ] && resume=(--resume)
  les-ipi run "$here/nvt.xml" --field "$here/field-$field.toml" --directory "$directory" --threads 1 --compile ${resume[@]+"${resume[@]}"}
  les-ipi anchors "$directory" --reference "$here/cubic-3.xyz" --threads 1
  touch "$directory/DONE"
done
les-analysis dielectric "$runs"/{free,plus,minus} --discard-ps 5 --json "$runs/permittivity.json" --plot "$runs/permittivity.png"
