"""Trains in PyTorch, in float64, what cltrain has trained, and compares. For test_slow_recipe.c; needs torch alone.

    recipe_peers.py make FOLDER          MODEL.pt: first weights of the two networks, as a state_dict
    recipe_peers.py check FOLDER RECIPE  RECIPE/last.safetensors and resume.safetensors against the same run here
"""

import os
import sys
from unittest import mock

import torch
from torch import nn
from torch.optim import lr_scheduler

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "peers"))
import models  # noqa: E402

IMAGES, BATCH, EPOCHS, LR = 120, 20, 3, 0.05
MEAN, DEVIATION = (0.5, 0.4, 0.45), (0.25, 0.2, 0.3)
DECAY = 0.01
# Of how far a tensor has moved in 6 updates, in the norm: float32 rounds values that may move by 1e-3 of themselves only
# by 6e-8, and each step reads what the last one has rounded. Found with PyTorch 2.13: up to 8e-5.
TOLERANCE = 3e-4
FLOOR = 1e-3  # of a tensor's norm: what has moved less counts as having moved so much


def network(name):
    """As cltrain's --hparams in test_slow_recipe.c; smooth, so that no rounding decides on which side of a kink it is."""
    if name == "ResNet":
        model = models.ResNet(hidden=(8, 16), blocks=(1, 2))
    else:
        model = models.DenseNet(num_layers=(2, 2), bn_size=2, growth=8)
    for module in list(model.modules()):
        for key, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, key, nn.GELU())
    return model


def make(folder):
    torch.manual_seed(5)
    for name in ("ResNet", "DenseNet"):
        model = network(name)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
                nn.init.normal_(module.running_mean, 0, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        torch.save(model.state_dict(), f"{folder}/{name}.pt")


def batches(folder, count):
    """The first `count` batches, in the order of the list in test_slow_recipe.c."""
    records = b"".join(open(f"{folder}/data/data_batch_{i}.bin", "rb").read() for i in range(1, 6))
    records = torch.frombuffer(bytearray(records), dtype=torch.uint8).reshape(IMAGES, 3073)
    records = records[[i * 7 % IMAGES for i in range(IMAGES)]]
    pixels = records[:, 1:].reshape(IMAGES, 3, 32, 32).double() / 255
    mean, deviation = (torch.tensor(x, dtype=torch.float64).reshape(3, 1, 1) for x in (MEAN, DEVIATION))
    return [
        ((pixels[i : i + BATCH] - mean) / deviation, records[i : i + BATCH, 0].long())
        for i in range(0, count * BATCH, BATCH)
    ]


def sgd(groups):
    return torch.optim.SGD(groups, lr=LR, momentum=0.9, weight_decay=DECAY)


class Muon(torch.optim.AdamW):
    """torch.optim.Muon for the weights of convolutions, as matrices, and AdamW for all else."""

    def __init__(self, groups):
        super().__init__(groups, lr=LR, weight_decay=DECAY, betas=(0.9, 0.999))
        self.convolutions = [p for group in self.param_groups for p in group["params"] if p.ndim == 4]
        for group in self.param_groups:
            group["params"] = [p for p in group["params"] if p.ndim != 4]
        matrices = [nn.Parameter(p.detach().flatten(1)) for p in self.convolutions]  # the same memory
        self.muon = torch.optim.Muon(
            matrices, lr=LR, weight_decay=DECAY, momentum=0.9, adjust_lr_fn="match_rms_adamw"
        )

    def step(self, closure=None):
        super().step(closure)
        group = self.muon.param_groups[0]
        group["lr"] = self.param_groups[0]["lr"]
        for matrix, p in zip(group["params"], self.convolutions):
            matrix.grad = p.grad.flatten(1)
        with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone):  # in which it iterates, but we do not
            self.muon.step()

    def zero_grad(self, set_to_none=True):
        super().zero_grad(set_to_none)
        for p in self.convolutions:
            p.grad = None


def constant(optimizer, updates):
    return lr_scheduler.LambdaLR(optimizer, lambda update: 1)


def multistep(optimizer, updates):
    return lr_scheduler.MultiStepLR(optimizer, [updates // 3, 2 * updates // 3], 0.1)


def warm_cosine(optimizer, updates):
    rise = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, updates - 2, 1e-4)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], [2])


def onecycle(optimizer, updates):
    return lr_scheduler.OneCycleLR(optimizer, LR, updates)


RECIPES = {
    "multistep": {"scheduler": multistep},
    "cosine": {"adamw": True, "scheduler": warm_cosine},
    "onecycle": {"scheduler": onecycle},
    "onecycle_adamw": {"adamw": True, "scheduler": onecycle},
    "muon": {"muon": True, "scheduler": multistep},
    "muon_matrices": {"muon": True, "batches": 3, "accumulate": 2, "matrices": True},
    "accumulate": {"batches": 3, "accumulate": 2},
    "clip_norm": {"clip_norm": 0.5},
    "clip_value": {"clip_value": 0.02},
    "smoothing": {"smoothing": 0.1},
    "ema": {"ema": 0.7},
    "ema_warmup": {"ema": 0.9, "warmup": True},
    "freeze": {"freeze": ("input_net.", "blocks.0."), "clip_norm": 0.3},
    "freeze_norms": {"freeze": (".net.1.", "input_net.1."), "adamw": True},
    "matrices": {"matrices": True, "adamw": True},
    "dense": {"model": "DenseNet", "scheduler": warm_cosine},
    "dense_freeze": {"model": "DenseNet", "freeze": ("input_net.", "blocks.0."), "ema": 0.5},
    "everything": {
        "batches": 3, "accumulate": 2, "clip_norm": 0.2, "smoothing": 0.1, "ema": 0.9, "warmup": True,
        "freeze": ("input_net.",), "matrices": True, "scheduler": onecycle,
    },
}  # fmt: skip


def is_frozen(recipe, name):
    return any(part in name for part in recipe.get("freeze", ()))


def parameter_groups(recipe, model):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not is_frozen(recipe, name)
    trained = [p for p in model.parameters() if p.requires_grad]
    if not recipe.get("matrices"):
        return trained
    return [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]


def average(recipe, mean, model, update):
    """timm.utils.ModelEmaV3.update and get_decay, of timm 1.0, for the update of that number, from 1."""
    step = max(0, update - 1)
    decay = 0.0 if step == 0 else recipe["ema"]
    if step > 0 and recipe.get("warmup"):
        decay = min(decay, 1 - (1 + step) ** -(2 / 3))
    for ours, theirs in zip(mean.values(), model.state_dict().values()):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - decay)


def clip(recipe, model):
    """Fails where nothing is to be clipped: that would test nothing."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if "clip_norm" in recipe:
        norm = nn.utils.clip_grad_norm_(model.parameters(), recipe["clip_norm"])
        assert norm > recipe["clip_norm"], f"the norm is {norm}"
    if "clip_value" in recipe:
        assert max(g.abs().max() for g in gradients) > recipe["clip_value"]
        nn.utils.clip_grad_value_(model.parameters(), recipe["clip_value"])


def train(folder, recipe, model):
    """What the average is in the end, if there is one."""
    data = batches(folder, recipe.get("batches", 2))
    share = recipe.get("accumulate", 1)
    groups = parameter_groups(recipe, model)
    optimizer = (
        Muon(groups) if recipe.get("muon")
        else torch.optim.AdamW(groups, lr=LR, weight_decay=DECAY) if recipe.get("adamw")
        else sgd(groups)
    )  # fmt: skip
    updates = EPOCHS * -(-len(data) // share)
    scheduler = recipe.get("scheduler", constant)(optimizer, updates)
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.get("smoothing", 0.0))
    mean = {key: value.clone() for key, value in model.state_dict().items()}
    update = 0
    for _ in range(EPOCHS):
        for i, (images, labels) in enumerate(data, 1):
            (loss(model(images), labels) / share).backward()
            if i % share and i < len(data):
                continue
            clip(recipe, model)
            optimizer.step()
            optimizer.zero_grad()
            update += 1
            if update < updates:
                scheduler.step()
            if "ema" in recipe:
                average(recipe, mean, model, update)
    assert update == updates == 6
    return mean if "ema" in recipe else None


def compare(recipe, what, found, expected, first):
    worst, at = 0.0, ""
    for key, value in expected.items():
        if not value.is_floating_point():
            continue
        if is_frozen(recipe, key) and not key.endswith(("running_mean", "running_var")):
            assert torch.equal(found[key], first[key]), f"{what}: {key} is frozen and has moved"
            continue
        moved = (value - first[key].double()).norm()
        error = (found[key].double() - value).norm() / max(moved, FLOOR * value.norm())
        worst, at = max((worst, at), (error.item(), key))
    print(f"{what}: {at} is off by {worst:.1e} of the way", flush=True)
    assert worst <= TOLERANCE, f"expected at most {TOLERANCE}"


def check(folder, name):
    recipe = RECIPES[name]
    kind = recipe.get("model", "ResNet")
    first = torch.load(f"{folder}/{kind}.pt", weights_only=True)
    model = network(kind)
    model.load_state_dict(first, strict=True)
    model.double().train()
    mean = train(folder, recipe, model)
    state = model.state_dict()
    compare(recipe, name, models.load(f"{folder}/{name}/resume.safetensors"), state, first)
    last = models.load(f"{folder}/{name}/last.safetensors")
    network(kind).load_state_dict({**first, **last}, strict=True)
    compare(recipe, f"{name}, last", last, mean or state, first)


def main():
    command, *arguments = sys.argv[1:]
    torch.set_num_threads(2)
    {"make": make, "check": check}[command](*arguments)


main()
