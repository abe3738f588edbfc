#!/usr/bin/env bash
# Heating and cooling of lead titanate at zero stress, each temperature from the end of the one before; then table and figure.
#   bash inputs/pbtio3/transition/run.sh [RUNS]
# A finished temperature is skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/transition}
heating="300 400 500 525 550 575 600 650"
cooling="600 575 550 525 500 400 300"

ladder() { # ladder BRANCH TEMPERATURE...: continues from $last
  local branch=$1 temperature directory input
  for temperature in "${@:2}"; do
    directory="$runs/$branch-$temperature"
    input="$directory-input"
    if [ ! -e "$directory/DONE" ]; then
      mkdir -p "$input"
      cp "$here/start-5.xyz" "$input/"
      sed "s#'kelvin'>300#'kelvin'>$temperature#" "$here/nst-5.xml" > "$input/input.xml"
      if [ -n "$last" ]; then
        cp "$last/RESTART" "$input/start.chk"
        sed -i -e "s#mode='ase'>start-5.xyz#mode='chk'>start.chk#" -e "/<velocities/d" "$input/input.xml"
      fi
      resume=()
      if [ -e "$directory/RESTART" ]; then resume=(--resume); fi
      les-ipi run "$input/input.xml" --directory "$directory" --threads 1 --compile "${resume[@]}"
      touch "$directory/DONE"
    fi
    last=$directory
  done
  les-analysis structure $(printf "$runs/$branch-%s " "${@:2}") --supercell 5,5,5 --discard-ps 2 \
    --json "$runs/$branch.json" --plot "$runs/$branch.png"
}

last=""
ladder heating $heating
ladder cooling $cooling
python "$here/figure.py" "$runs/heating.json" "$runs/cooling.json" "$runs/transition.png"
