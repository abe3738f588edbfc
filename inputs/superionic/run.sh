#!/usr/bin/env bash
# Conductivity of superionic water: three runs of 100 ps, two in weak fields and one with quantum nuclei at 2 g/cm³ and 2000 K, a
# temperature series at 3 g/cm³; then tables and the figure.
#   bash inputs/superionic/run.sh [RUNS] [DATA]
# DATA holds the D-*.dat tables of BingqingCheng/superionic-water. A finished run is skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/superionic}
data=${2:-data/superionic}

# simulate DIRECTORY INPUT SED-SCRIPT [les-ipi run options]
simulate() {
  local directory="$runs/$1" input="$runs/$1-input" xml="$2" script="$3"
  shift 3
  [ -e "$directory/DONE" ] && return
  mkdir -p "$input"
  cp "$here"/start-*.xyz "$input/"
  sed "$script" "$here/$xml" > "$input/input.xml"
  local resume=()
  [ -e "$directory/les_ipi_run.json" ] && resume=(--resume)
  les-ipi run "$input/input.xml" --directory "$directory" --record current --threads 1 --compile "$@" ${resume[@]+"${resume[@]}"}
  touch "$directory/DONE"
}

for seed in 1 2 3; do
  simulate "2gcc-2000K-$seed" 2gcc-2000K.xml "s#<seed>1<#<seed>$seed<#"
done
# The field heats: a faster thermostat keeps 2000 K.
weak="s#204000#48000#; s#femtosecond'>1000#femtosecond'>200#"
simulate 2gcc-2000K-plus 2gcc-2000K.xml "$weak" --constant-field 0 0 0.03
simulate 2gcc-2000K-minus 2gcc-2000K.xml "$weak" --constant-field 0 0 -0.03
simulate 2gcc-2000K-trpmd 2gcc-2000K-trpmd.xml ""
les-analysis conductivity "$runs"/2gcc-2000K-{1,2,3,plus,minus} --discard-ps 2 --charges H=1,O=-2 \
  --json "$runs/2gcc-2000K.json" --csv "$runs/2gcc-2000K.csv" --plot "$runs/2gcc-2000K.png"
les-analysis conductivity "$runs/2gcc-2000K-trpmd" --discard-ps 2 --charges H=1,O=-2 \
  --json "$runs/2gcc-2000K-trpmd.json" --csv "$runs/2gcc-2000K-trpmd.csv" --plot "$runs/2gcc-2000K-trpmd.png"

for temperature in 1600 2000 2400 3000; do
  run="3gcc-${temperature}K"
  simulate "$run" 3gcc-3000K.xml "s#>3000<#>$temperature<#g"
  les-analysis conductivity "$runs/$run" --discard-ps 2 --charges H=1,O=-2 \
    --json "$runs/$run.json" --csv "$runs/$run.csv" --plot "$runs/$run.png"
  les-analysis structure "$runs/$run" --discard-ps 2 --sublattice O --rdf O-O,O-H,H-H \
    --json "$runs/$run-structure.json" --plot "$runs/$run-structure.png"
done
python "$here/figure.py" "$runs" "$data" "$runs/superionic.png"
