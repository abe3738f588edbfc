#!/usr/bin/env bash
# The reference spectra: equilibrate, then independent energy-conserving (classical) and TRPMD (quantum) runs.
#   bash inputs/water/reference.sh [RUNS] [THREADS]
# About two and a half hours on two idle cores; every step is skipped when its result is there and resumed when it was interrupted.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/water}
options=(--threads "${2:-1}" --compile)
mkdir -p "$runs"

run() { # run INPUT.xml DIRECTORY [OPTION...]
  if [ -e "$2/DONE" ]; then return; fi
  if [ -e "$2/RESTART" ]; then les-ipi run "$1" --directory "$2" --resume "${@:3}" "${options[@]}"
  else les-ipi run "$1" --directory "$2" "${@:3}" "${options[@]}"; fi
  touch "$2/DONE"
}

from() { # from CHECKPOINT INPUT.xml DIRECTORY: a run from another start than the committed one
  local input="$3-input"
  mkdir -p "$input"
  cp "$2" "$input/input.xml"
  cp "$here/start.xyz" "$input/"
  cp "$1" "$input/classical-start.chk"
  cp "$1" "$input/quantum-start-16.chk"
  run "$input/input.xml" "$3" --record current
}

classical() {
  run "$here/classical-nvt.xml" "$runs/classical-nvt"
  for k in 5 6 7 8; do from "$runs/classical-nvt/water.chk_$k" "$here/classical-nve.xml" "$runs/nve-$k"; done
}

trpmd() { # trpmd NUMBER...: from the checkpoints of those numbers
  for k in "$@"; do from "$runs/pimd/water.chk_$k" "$here/trpmd.xml" "$runs/trpmd-$k"; done
}

# Two runs side by side.
classical &
run "$here/pimd.xml" "$runs/pimd"
wait
trpmd 5 7 &
trpmd 6 8
wait
# Runs in which a proton left its molecule are named and not pooled: the model does not know ions.
les-analysis ir $(python "$here/intact.py" "$runs"/nve-[0-9]) --resolution 60 --plot "$runs/classical.png" --csv "$runs/classical.csv" --json "$runs/classical.json"
les-analysis ir $(python "$here/intact.py" "$runs"/trpmd-[0-9]) --resolution 60 --plot "$runs/quantum.png" --csv "$runs/quantum.csv" --json "$runs/quantum.json"
les-analysis overlay "$runs/classical.json" "$runs/quantum.json" --labels "classical nuclei,quantum nuclei (TRPMD)" \
  --plot "$runs/infrared.png"
