#!/usr/bin/env bash
# Write constraints.txt: install every extra into a fresh environment and note what came.
#   scripts/freeze.sh TORCH_VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
echo "torch==${1:?give the version of torch, such as 2.13.0}" > "$folder/torch.txt"
"$folder/venv/bin/pip" install -q -c "$folder/torch.txt" \
  -e ".[all,test,dev,bioimageio,cluster,onnx,docs]" "napari[pyside6]"
{
  echo "# The tested set: pip install -c constraints.txt ... (made by scripts/freeze.sh)"
  "$folder/venv/bin/pip" freeze --exclude-editable | sed 's/+cpu//'
} > constraints.txt
