#!/usr/bin/env bash
# Makes a virtual environment with the PyTorch that bench/peers/pytorch.py compares clnet with, and what else the slow
# tests compare with: ONNX and onnxruntime.
# --cpu takes PyTorch's own build without CUDA (some 200 MB); by default pip takes what it is set up to find, which on
# Linux is a build for CUDA of several GB, good for the processor too. Does nothing where everything is there already.
#
# usage: bench/peers/setup.sh [--cpu] [FOLDER, by default build/peers-venv]
set -euo pipefail
torch=2.13.0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$root/build/peers-venv
index=()
for argument in "$@"; do
    case $argument in
    --cpu) index=(--index-url https://download.pytorch.org/whl/cpu) ;;
    -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    -*)
        printf "error: bench/peers/setup.sh: unknown option '%s' (see --help)\n" "$argument" >&2
        exit 1
        ;;
    *) folder=$argument ;;
    esac
done

python=$folder/bin/python
if [[ ! -x $python ]] || ! "$python" -m pip --version >/dev/null 2>&1; then
    printf '==> making the virtual environment %s\n' "$folder"
    if ! python3 -m venv "$folder"; then
        printf 'error: python3 cannot make it; on Debian, install python3-venv\n' >&2
        exit 1
    fi
fi
version() {
    "$python" -c 'import numpy, PIL, torch; print(torch.__version__.split("+")[0])' 2>/dev/null || true
}
if [[ $(version) == "$torch" ]]; then
    printf '==> PyTorch %s is installed in %s\n' "$torch" "$folder"
else
    printf '==> installing PyTorch %s in %s\n' "$torch" "$folder"
    "$python" -m pip install --disable-pip-version-check ${index[@]+"${index[@]}"} "torch==$torch" numpy pillow
    if [[ $(version) != "$torch" ]]; then
        printf 'error: pip succeeded, but PyTorch %s does not start with %s\n' "$torch" "$python" >&2
        exit 1
    fi
fi

if "$python" -c 'import onnx, onnxruntime, safetensors, tensorboard' 2>/dev/null; then
    printf '==> ONNX, onnxruntime and TensorBoard are installed in %s\n' "$folder"
else
    printf '==> installing ONNX, onnxruntime and TensorBoard in %s\n' "$folder"
    "$python" -m pip install --disable-pip-version-check onnx onnxruntime safetensors tensorboard
fi

# torch.compile builds its kernels with these; without them the comparison goes on without it.
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
if ! command -v g++ >/dev/null 2>&1 || [[ ! -e $include/Python.h ]]; then
    printf '==> torch.compile will fail: it needs g++ and Python.h (on Debian: g++ and python3-dev)\n'
fi
