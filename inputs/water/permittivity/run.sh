#!/usr/bin/env bash
# Static susceptibility of hot water: runs without a field and in opposite weak ones, then table and figure.
#   bash inputs/water/permittivity/run.sh [RUNS]
# A finished run is skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/water-permittivity}

# simulate FIELD STEPS
simulate() {
  local directory="$runs/$1" input="$runs/$1-input"
  [ -e "$directory/DONE" ] && return
  mkdir -p "$input"
  cp "$here/start.xyz" "$input/"
  sed "s#<total_steps>80000<#<total_steps>$2<#" "$here/nvt.xml" > "$input/nvt.xml"
  local resume=(); [ -e "$directory/les_ipi_run.json" ] && resume=(--resume)
  les-ipi run "$input/nvt.xml" --field "$here/field-$1.toml" --directory "$directory" --record current --threads 1 --compile \
    ${resume[@]+"${resume[@]}"}
  touch "$directory/DONE"
}

simulate free 80000
simulate plus 27000
simulate minus 27000
les-analysis dielectric "$runs"/{free,plus,minus} --discard-ps 5 --json "$runs/permittivity.json" --plot "$runs/permittivity.png"
