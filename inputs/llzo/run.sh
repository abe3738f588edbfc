#!/usr/bin/env bash
# Lithium conduction in cubic Li7La3Zr2O12 at three temperatures; then conductivities, diffusion and the Arrhenius lines.
#   bash inputs/llzo/run.sh [RUNS] [TEMPERATURES]
# A finished run is skipped, an interrupted one is resumed. Lattice parameters are those of npt.xml at each temperature (README).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/llzo}
temperatures=${2:-"1000 1200 1500"}
declare -A lattice=([1000]=13.10 [1200]=13.155 [1500]=13.24)
records=()
for temperature in $temperatures; do
  directory="$runs/${temperature}K" input="$runs/${temperature}K-input"
  if [ ! -e "$directory/DONE" ]; then
    mkdir -p "$input"
    python "$here/make_start.py" "${lattice[$temperature]}" "$input/start-${temperature}K.xyz"
    sed "s#start-1000K#start-${temperature}K#g; s#kelvin'>1000<#kelvin'>$temperature<#g" "$here/nvt.xml" > "$input/nvt.xml"
    resume=(); [ -e "$directory/les_ipi_run.json" ] && resume=(--resume)
    les-ipi run "$input/nvt.xml" --directory "$directory" --record current --threads 1 --compile ${resume[@]+"${resume[@]}"}
    touch "$directory/DONE"
  fi
  les-analysis conductivity "$directory" --discard-ps 4 --charges Li=1,La=3,Zr=4,O=-2 --json "$runs/${temperature}K.json" \
    --csv "$runs/${temperature}K.csv" --plot "$runs/${temperature}K.png"
  records+=("$runs/${temperature}K.json")
done
les-analysis arrhenius "${records[@]}" --at 300 --json "$runs/arrhenius.json" --plot "$runs/arrhenius.png"
