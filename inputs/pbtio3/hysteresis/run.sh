#!/usr/bin/env bash
# P-E loops of lead titanate at 300 K: six periods of each triangle (the stronger fields in the first cell only), then metrics and
# figure of all.
#   bash inputs/pbtio3/hysteresis/run.sh [RUNS] [CELLS] [ENSEMBLE]
# CELLS: unit cells along each edge, 3 or 4. ENSEMBLE: nvt (fixed cell), or nst (free cell, 3 only).
# A finished run is skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/pbtio3}
cells=${2:-3}
ensemble=${3:-nvt}
per_ps=500 # steps
for field in 2.5ps 5ps 10ps 5ps-strong 7.5ps-strong; do
  [[ "$field" = *-strong && "$ensemble-$cells" != nvt-3 ]] && continue
  directory="$runs/$ensemble-$cells-$field"
  [ -e "$directory/DONE" ] && continue
  mkdir -p "$directory-input"
  cp "$here/start-$cells.xyz" "$directory-input/"
  steps=$(python3 -c "print(2 * int(3.01 * $per_ps * ${field%ps*}))")
  sed "s/<total_steps>[0-9]*/<total_steps>$steps/" "$here/$ensemble-$cells.xml" > "$directory-input/input.xml"
  resume=(); [ -e "$directory/RESTART" ] && resume=(--resume)
  les-ipi run "$directory-input/input.xml" --field "$here/triangle-$field.toml" --directory "$directory" --threads 1 --compile ${resume[@]+"${resume[@]}"}
  les-ipi anchors "$directory" --reference "$here/../permittivity/cubic-$cells.xyz" --threads 1
  touch "$directory/DONE"
done
les-analysis hysteresis "$runs/$ensemble-$cells"-*ps --json "$runs/$ensemble-$cells.json" --plot "$runs/$ensemble-$cells.png"
