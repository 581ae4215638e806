#!/usr/bin/env bash
# Write constraints.txt: install every extra into a fresh environment and note what came.
#   scripts/freeze.sh TORCH_VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# PySide6 6.12.0 loses references to None (docs/napari.md), which aborts Python 3.11.
printf '%s\n' "torch==${1:?give the version of torch, such as 2.13.0}" "PySide6<6.12" \
  > "$folder/chosen.txt"
"$folder/venv/bin/pip" install -q -c "$folder/chosen.txt" \
  -e ".[all,test,dev,bioimageio,cluster,onnx,docs]" "napari[pyside6]"
{
  echo "# The tested set: pip install -c constraints.txt ... (made by scripts/freeze.sh)"
  "$folder/venv/bin/pip" freeze --exclude-editable | sed 's/+cpu//'
} > constraints.txt
