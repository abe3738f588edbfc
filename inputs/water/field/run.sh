#!/usr/bin/env bash
# Water at 300 K in fields of 0, 0.05, 0.1 and 0.2 V/Å, classical and quantum nuclei; continues where it was interrupted.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for kind in classical trpmd; do
  for field in 0.00 0.05 0.10 0.20; do
    directory=runs/field/$kind-$field
    resume=()
    [ -e "$directory/les_ipi_run.json" ] && resume=(--resume)
    les-ipi run "$here/$kind.xml" --field "$here/field-$field.toml" --directory "$directory" --record current --compile \
      ${resume[@]+"${resume[@]}"}
  done
done
