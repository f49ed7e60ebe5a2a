#!/usr/bin/env bash
# Tests bench/peers: its Python compiles, its networks have our parameter counts and load what `cltrain fit` writes with
# strict=True; train.py and images.py refuse what they cannot use. All but the first need the virtual environment of
# bench/peers/setup.sh, and are skipped without it.
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

# What train.py and images.py refuse: MESSAGE COMMAND...
refuses() {
    local message=$1
    shift
    if "$@" >"$work/output" 2>&1 || ! grep -qF "$message" "$work/output"; then
        echo "expected '$message' of: $*"
        cat "$work/output"
        exit 1
    fi
}
train=("$python" bench/peers/train.py --data "$work/data" --out "$work/csv")
refuses 'expected 1 or more images to validate on, found 0' "${train[@]}" --val-split 0
refuses 'must fill one batch or more' "${train[@]}" --val-split 4 --batch-size 13
mkdir -p "$work/csv"
echo kept >"$work/csv/ResNet-seed43.csv"
refuses 'ResNet-seed43.csv is there already' "${train[@]}" --val-split 4 --batch-size 8 --seeds 42,43
grep -qx kept "$work/csv/ResNet-seed43.csv"
[ ! -e "$work/csv/ResNet-seed42.csv" ]

# Folders of images: hidden names and what is no folder are passed over.
mkdir -p "$work/images/train/a" "$work/images/train/b" "$work/images/train/.hidden"
touch "$work/images/train/notes" "$work/images/train/.hidden/x" "$work/images/train/a/.x"
"$python" -c 'import sys; from PIL import Image
for name, size in (("a/1", (32, 32)), ("b/1", (32, 32))):
    Image.new("RGB", size).save(f"{sys.argv[1]}/train/{name}.png")' "$work/images"
read_images=("$python" -c 'import sys; sys.path.insert(0, "bench/peers"); import images
print("labels", images.read(sys.argv[1], "train")[1].tolist())' "$work/images")
"${read_images[@]}" | grep -qx 'labels \[0, 1\]'
"$python" -c 'import sys; from PIL import Image; Image.new("RGB", (33, 32)).save(sys.argv[1])' "$work/images/train/b/2.png"
refuses 'b/2.png is an image of 33x32, expected 32x32' "${read_images[@]}"
echo "Checks: 8, Failures: 0, Errors: 0"
