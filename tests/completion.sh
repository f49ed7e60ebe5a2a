#!/usr/bin/env bash
# Asks the completion functions as the shells would.
#
# usage: tests/completion.sh SHARE-FOLDER     (that of an installation)
set -euo pipefail
share=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir 'a folder'
touch 'weights one.safetensors' 'weights*.safetensors' other

fail() {
    echo "failed: $*" >&2
    exit 1
}

# --- bash ---

# shellcheck disable=SC1090,SC1091
source "$share/bash-completion/completions/cltrain"
# shellcheck disable=SC1090,SC1091
source "$share/bash-completion/completions/clbench"
complete -p cltrain clbench >/dev/null || fail "nothing is registered"

# ask 'expected|words' cltrain fit --mo: bash's words of the line; the last is the one to complete
ask() {
    local expected=$1
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    "_$1" || true
    local found
    found=$(IFS='|' && echo "${COMPREPLY[*]}")
    [[ $found == "$expected" ]] || fail "bash: '$*' gives '$found', expected '$expected'"
}

ask 'fit' cltrain 'fi'
ask '--version' cltrain --v
for start in -- --mo; do
    ask "$("$share/../bin/cltrain" fit --help | sed -n "s/^  \(${start}[^ ]*\).*/\1/p" | paste -s -d '|')" cltrain fit "$start"
done
ask 'ResNet|ResNetPreAct' cltrain fit --model Res
ask 'ResNet|ResNetPreAct' cltrain fit --model = Res
ask 'adam|adamw' cltrain fit --epochs 3 --optimizer ad
ask 'val_acc|val_loss' cltrain fit --monitor = val
ask 'sgd|adam|adamw|muon' cltrain fit --optimizer =
ask 'weights one.safetensors|weights*.safetensors' cltrain test --weights weights
ask '--nesterov' cltrain fit --nest
ask '--no-save-last' cltrain fit --no-save
ask '' cltrain fit --lr 0
ask 'a folder' cltrain fit --out ''
ask 'other' cltrain fit --split_indices oth
ask 'other' clbench verify oth
ask '--self' clbench verify --s
ask '' cltrain nonsense --mo
[[ $- != *f* ]] || fail "bash: globbing is left off"

# --- zsh and fish, where they are ---

if command -v zsh >/dev/null; then
    # _arguments gets the specifications; this one prints them.
    zsh -f -c '_arguments() { print -rl -- "$@" }
        words=(cltrain fit --mo) CURRENT=3
        source "$1/zsh/site-functions/_cltrain"' zsh "$share" >"$work/zsh" || fail "zsh: _cltrain"
    grep -q '^--model=\[.*\]:NAME:(GoogleNet ' "$work/zsh" || fail "zsh: --model does not list models"
    grep -q '^--no-save-last\[not --save-last\]$' "$work/zsh" || fail "zsh: no --no-save-last"
    grep -q '^--out=\[.*\]:DIR:_files -/$' "$work/zsh" || fail "zsh: --out is no folder"
fi
if command -v fish >/dev/null; then
    export HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data
    ask_fish() {
        fish -N -c "source '$share/fish/vendor_completions.d/cltrain.fish'; complete -C '$2'" | cut -f 1 | sort |
            tr '\n' '|' >"$work/fish"
        [[ $(cat "$work/fish") == "$1" ]] || fail "fish: '$2' gives '$(cat "$work/fish")', expected '$1'"
    }
    ask_fish '--monitor|' 'cltrain fit --moni'
    ask_fish 'ResNet|ResNetPreAct|' 'cltrain fit --model Res'
    ask_fish 'fit|' 'cltrain fi'
    ask_fish '--no-save-last|' 'cltrain fit --no-save'
fi
