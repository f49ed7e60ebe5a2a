#!/usr/bin/env bash
# Tests bench/peers: its Python compiles, its networks have our parameter counts and load what `cltrain fit` writes with
# strict=True. The last two need the virtual environment of bench/peers/setup.sh, and are skipped without it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

if ! command -v python3 >/dev/null 2>&1; then
    echo "skipped: there is no python3"
    exit 0
fi
for file in bench/peers/*.py; do
    python3 -c 'import sys; compile(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1], "exec")' "$file"
done
python3 bench/peers/pytorch.py --help >/dev/null

python=build/peers-venv/bin/python
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "skipped: the comparison of networks, since $python has no PyTorch (bench/peers/setup.sh)"
    echo "Checks: 1, Failures: 0, Errors: 0"
    exit 0
fi
python3 -c 'import sys; sys.path.insert(0, "bench/peers"); import images; images.make(sys.argv[1], 16)' "$work/data"
weights=()
for model in GoogleNet ResNet ResNetPreAct DenseNet; do
    "$CLNET_BIN_DIR/cltrain" fit --model "$model" --data "$work/data" --epochs 1 --val-split 0 --batch-size 8 \
        --quiet --out "$work/$model" >/dev/null
    weights+=("$model=$work/$model/last.safetensors")
done
"$python" bench/peers/models.py "${weights[@]}"
echo "Checks: 2, Failures: 0, Errors: 0"
