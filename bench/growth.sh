#!/usr/bin/env bash
# Images/s of training and of inference as the batch and the images grow, as a Markdown table: batches of 16 to 1,024
# images of 32x32, and batches of 128 (64 where they do not fit) with images of 32x32 to 128x128. Each size runs twice,
# so that no kernel is compiled while the second is timed. About half an hour on two cores.
#
# usage: bench/growth.sh [model...]        (default: all four; $CLBENCH names another clbench, $ROUNDS the timed steps)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 0 ;; esac
clbench=${CLBENCH:-build/clbench}
models=("$@")
if [[ ${#models[@]} -eq 0 ]]; then models=(ResNet ResNetPreAct GoogleNet DenseNet); fi

measure() { # train|infer model batch size
    local options=(--model "$2" --batch-size "$3" --image-size "$4" --json)
    "$clbench" "$1" "${options[@]}" --num-bench-iter 1 >/dev/null 2>&1 || { echo "does not fit" && return; }
    "$clbench" "$1" "${options[@]}" --num-bench-iter "${ROUNDS:-5}" 2>/dev/null |
        sed -n 's/.*"images_per_s": *\([0-9]*\).*/\1/p'
}

echo "| model | step | batch 16 | 32 | 64 | 128 | 256 | 512 | 1024 | 128 of 64x64 | 128 of 96x96 | 64 of 128x128 |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|"
for model in "${models[@]}"; do
    for step in train infer; do
        row="| $model | $step |"
        for size in 16,32 32,32 64,32 128,32 256,32 512,32 1024,32 128,64 128,96 64,128; do
            row+=" $(measure "$step" "$model" "${size%,*}" "${size#*,}") |"
        done
        echo "$row"
    done
done
