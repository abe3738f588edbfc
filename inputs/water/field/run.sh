#!/usr/bin/env bash
# Water at 300 K in fields of 0, 0.05, 0.1 and 0.2 V/Å, classical and quantum nuclei; then spectra, tables and the figure.
#   bash inputs/water/field/run.sh [RUNS]
# A finished run is skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/field}
fields="0.00 0.05 0.10 0.20"
for kind in classical trpmd; do
  for field in $fields; do
    directory="$runs/$kind-$field"
    if [ ! -e "$directory/DONE" ]; then
      resume=(); [ -e "$directory/les_ipi_run.json" ] && resume=(--resume)
      les-ipi run "$here/$kind.xml" --field "$here/field-$field.toml" --directory "$directory" --record current --threads 1 --compile \
        ${resume[@]+"${resume[@]}"}
      touch "$directory/DONE"
    fi
    les-analysis ir "$directory" --discard-ps 8 --resolution 60 --json "$runs/$kind-$field.json" --csv "$runs/$kind-$field.csv" --plot "$runs/$kind-$field.png"
  done
  les-analysis dielectric "$runs/$kind"-0.{00,05,10,20} --discard-ps 8 --json "$runs/$kind-dielectric.json" --plot "$runs/$kind-dielectric.png"
done
python "$here/figure.py" "$runs" "$runs/field.png"
