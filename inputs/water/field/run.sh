#!/usr/bin/env bash
# Water at 300 K in fields of 0, 0.05, 0.1 and 0.2 V/Å, classical and quantum nuclei, and classically in ±0.01 V/Å for the
# static permittivity; then spectra and tables. Interrupted runs are resumed.
#   bash inputs/water/field/run.sh [RUNS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/field}
one() { # one KIND FIELD
  local directory="$runs/$1-$2" resume=()
  [ -e "$directory/DONE" ] && return
  [ -e "$directory/les_ipi_run.json" ] && resume=(--resume)
  les-ipi run "$here/$1.xml" --constant-field 0 0 "$2" --directory "$directory" --threads 1 --compile ${resume[@]+"${resume[@]}"}
  touch "$directory/DONE"
}
for field in 0.00 0.05 0.10 0.20; do one classical $field; done
for field in 0.01 -0.01; do one classical $field; done
for field in 0.00 0.05 0.10 0.20; do one trpmd $field; done
for kind in classical trpmd; do
  for field in 0.00 0.05 0.10 0.20; do
    les-analysis ir "$runs/$kind-$field" --discard-ps 2 --json "$runs/$kind-$field.json" --csv "$runs/$kind-$field.csv" --plot "$runs/$kind-$field.png"
  done
  les-analysis dielectric "$runs/$kind"-0.{00,05,10,20} --discard-ps 2 --json "$runs/$kind-dielectric.json" --plot "$runs/$kind-dielectric.png"
done
les-analysis dielectric "$runs"/classical-{0.00,0.01,-0.01} --discard-ps 2 --json "$runs/weak.json" --plot "$runs/weak.png"
python "$here/figure.py" "$runs" "$runs/field.png"
