#!/usr/bin/env bash
# Water at 300 K in fields of 0, 0.05, 0.1 and 0.2 V/Å, classical and quantum nuclei; then spectra, tables and the figure.
#   bash inputs/water/field/run.sh [RUNS]
# A run with beads starts from the end of the classical run in its field, where molecules have turned already. A finished run is
# skipped, an interrupted one is resumed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs/field}
fields="0.00 0.05 0.10 0.20"
thermal="<velocities mode='thermal' units='kelvin'>300</velocities>"
for kind in classical trpmd; do
  discard=8
  [ "$kind" = trpmd ] && discard=2
  for field in $fields; do
    directory="$runs/$kind-$field" input="$runs/$kind-$field-input"
    if [ ! -e "$directory/DONE" ]; then
      mkdir -p "$input"
      cp "$here/start.xyz" "$here/$kind.xml" "$here/classical-start.chk" "$input/"
      if [ "$kind" = trpmd ]; then
        cp "$runs/classical-$field/RESTART" "$input/turned.chk"
        sed -i "s#quantum-start.chk</file>#turned.chk</file> $thermal#" "$input/trpmd.xml"
      fi
      resume=(); [ -e "$directory/les_ipi_run.json" ] && resume=(--resume)
      les-ipi run "$input/$kind.xml" --field "$here/field-$field.toml" --directory "$directory" --record current --threads 1 --compile \
        ${resume[@]+"${resume[@]}"}
      touch "$directory/DONE"
    fi
    les-analysis ir "$directory" --discard-ps $discard --resolution 60 --peaks 400-1000,1450-1850,2400-4000 \
      --json "$runs/$kind-$field.json" --csv "$runs/$kind-$field.csv" --plot "$runs/$kind-$field.png"
  done
  les-analysis dielectric "$runs/$kind"-0.{00,05,10,20} --discard-ps $discard --json "$runs/$kind-dielectric.json" \
    --plot "$runs/$kind-dielectric.png"
done
python "$here/figure.py" "$runs" "$runs/field.png"
