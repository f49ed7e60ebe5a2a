#!/usr/bin/env python3
"""Trains a network in PyTorch by the published recipe, and writes one row an epoch as cltrain does.

The same images, split, augmentation, initialisation, optimiser and learning rates as `cltrain fit` or `clbench table`
with as many epochs; the random numbers differ. DIR/<model>-seed<N>.csv is for `clbench report --curves` and for eyes.

    build/peers-venv/bin/python bench/peers/train.py --data DIR --model ResNet --epochs 10 --seeds 42,43 --out DIR
"""

import argparse
import os
import time

import torch
from torch.nn import functional

import images
import models

LR = {"ResNet": 0.1, "ResNetPreAct": 0.1, "GoogleNet": 1e-3, "DenseNet": 1e-3}
MILESTONES, EPOCHS = (100, 150), 180
COLUMNS = "epoch,lr,train_loss,train_acc,val_loss,val_acc,images_per_s"


def split(labels, val, seed):
    """Indices that train and that validate: the first and the last of the seeded permutation."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return order[: len(labels) - val], order[len(labels) - val :]


def evaluate(model, batches):
    """Mean loss and accuracy."""
    model.eval()
    loss = correct = 0.0
    with torch.no_grad():
        for x, y in batches.in_order():
            scores = model(x)
            loss += functional.cross_entropy(scores, y, reduction="sum").item()
            correct += (scores.argmax(1) == y).sum().item()
    return loss / len(batches.labels), correct / len(batches.labels)


def train_epoch(model, forward, optimizer, batches):
    """Mean loss and accuracy of the epoch's steps, and images/s."""
    model.train()
    steps, loss_sum, correct, start = len(batches.labels) // batches.batch_size, 0.0, 0.0, time.perf_counter()
    for _ in range(steps):
        x, y = batches.get()
        loss, scores = forward(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item()
        correct += (scores.argmax(1) == y).sum().item()
    count = steps * batches.batch_size
    return loss_sum / steps, correct / count, count / (time.perf_counter() - start)


def csv_path(a, seed):
    return os.path.join(a.out, f"{a.model}-seed{seed}.csv")


def check_split(parser, a, count):
    """Of `count` training images."""
    if a.batch_size < 1 or a.batch_size > count - a.val_split:
        parser.error(
            f"--batch-size {a.batch_size}: {count} training images, of which {a.val_split} are held back "
            "(--val-split), must fill one batch or more"
        )


def run(a, seed, train, val, test):
    torch.manual_seed(seed)
    model = models.build(a.model).to(memory_format=torch.channels_last)
    optimizer = models.optimizer(a.model, model, LR[a.model])
    milestones = [max(1, round(m * a.epochs / EPOCHS)) for m in MILESTONES]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)

    def loss_of(x, y):
        scores = model(x)
        return functional.cross_entropy(scores, y), scores

    forward = torch.compile(loss_of) if a.compile else loss_of
    train.order = None
    with open(csv_path(a, seed), "x", encoding="ascii") as file:
        print(COLUMNS, file=file)
        for epoch in range(a.epochs):
            lr = scheduler.get_last_lr()[0]
            train_loss, train_acc, speed = train_epoch(model, forward, optimizer, train)
            val_loss, val_acc = evaluate(model, val)
            scheduler.step()
            row = f"{epoch + 1},{lr:g},{train_loss:.6f},{train_acc:.6f},{val_loss:.6f},{val_acc:.6f},{speed:.1f}"
            print(row, file=file, flush=True)
            print(f"{a.model}, seed {seed}: {row}", flush=True)
    print(f"{a.model}, seed {seed}: test accuracy {evaluate(model, test)[1]:.4f} after the last epoch", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10: binary files, or <split>/<class>/<image>")
    parser.add_argument("--model", choices=models.MODELS, default="ResNet")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="the milestones move in proportion (180)")
    parser.add_argument("--seeds", default="42", help="of weights, order and augmentation, with commas between (42)")
    parser.add_argument("--split-seed", type=int, default=42)
    parser.add_argument("--val-split", type=int, default=5000, help="images held back (5000)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", default=".", help="folder of the CSV files")
    a = parser.parse_args()
    if a.val_split < 1:
        parser.error(f"--val-split: expected 1 or more images to validate on, found {a.val_split}")
    try:
        a.seeds = [int(seed) for seed in a.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds: expected whole numbers with commas between, found '{a.seeds}'")
    for seed in a.seeds:
        if os.path.exists(csv_path(a, seed)):
            parser.error(f"{csv_path(a, seed)} is there already: choose another --out, or remove it")
    torch.set_num_threads(a.threads)
    os.makedirs(a.out, exist_ok=True)

    def batches(pictures, labels):
        return images.Batches(pictures, labels, a.batch_size, "cpu", torch.channels_last)

    pictures, labels = images.read(a.data, "train")
    check_split(parser, a, len(labels))
    kept, held = split(labels, a.val_split, a.split_seed)
    train, val = batches(pictures[kept], labels[kept]), batches(pictures[held], labels[held])
    test = batches(*images.read(a.data, "test"))
    for seed in a.seeds:
        run(a, seed, train, val, test)


if __name__ == "__main__":
    main()
