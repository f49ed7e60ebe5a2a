"""Short trainings for scripts/portability.py, and how far the weights of two devices are apart.

The networks have a smooth activation, as a unit within rounding of a kink turns its gradient over. GoogleNet has kinks
still, those of max pooling. What rounding makes of a training is therefore measured: the peer trains once more, from
initial weights each moved by one rounding. Two devices may differ by MARGIN times as much. Distances between weights
are told as a share of the distance that training moved them."""

import array
import json
import math
import os
import random
import shutil
import struct

MARGIN = 3
NETWORKS = {  # with the hyper-parameters of smaller ones
    "ResNet": {"num_blocks": [1, 1], "c_hidden": [8, 20]},
    "ResNetPreAct": {"num_blocks": [1, 1], "c_hidden": [8, 20]},
    "DenseNet": {"num_layers": [1, 1], "growth_rate": 5},
    "GoogleNet": {},
}
CLASSES = 4


def compare(own, peer, model, small, folder):
    """How far a device is from its peer, and may be. `own` and `peer` run cltrain fit with the options given."""

    def fit(train, *more):
        return read_weights(train_once(train, model, small, folder, *more))

    ours, truth = fit(own), fit(peer)
    first = fit(peer, "--lr", "1e-30", "--max-steps", "1")  # too little to change a weight
    write_moved(first, f"{folder}.safetensors")
    moved = fit(peer, "--init-weights", f"{folder}.safetensors")
    path = distance(first, truth)
    return distance(ours, truth) / path, MARGIN * distance(moved, truth) / path


def train_once(train, model, small, folder, *more):
    """Two steps, or ten; the path of the weights."""
    side, count, batch = (8, 8, 4) if small else (32, 160, 16)
    images = f"{os.path.dirname(folder)}/images-{side}-{count}"
    if not os.path.isdir(images):
        write_images(images, side, count)
    shutil.rmtree(folder, ignore_errors=True)
    hparams = json.dumps({"act_fn_name": "gelu"} | (NETWORKS[model] if small else {}))
    data = f"--data {images} --image-size {side} --batch-size {batch} --val-split 0 --no-augment --limit-test-batches 0"
    recipe = "--epochs 1 --optimizer sgd --momentum 0.9 --lr 0.02 --lr-scheduler constant --num-sanity-val-steps 0"
    rest = f"--no-tuning --no-tensorboard --quiet --out {folder}"
    train(["--model", model, "--hparams", hparams, *f"{data} {recipe} {rest}".split(), *more])
    return f"{folder}/last.safetensors"


def write_images(folder, side, count):
    """A class is a grey level, under noise."""
    noise = random.Random(1)
    for part, images in (("train", count), ("test", CLASSES)):
        for i in range(images):
            target = f"{folder}/{part}/{i % CLASSES}"
            os.makedirs(target, exist_ok=True)
            with open(f"{target}/{i:03}.ppm", "wb") as file:
                file.write(b"P6 %d %d 255\n" % (side, side))
                file.write(bytes(40 * (i % CLASSES) + noise.randrange(120) for _ in range(3 * side * side)))


# --- weights: the bytes of a file in safetensors, and where in it the parameters are ---


def read_weights(path):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    names = [name for name in sorted(header) if "running_" not in name and header[name]["dtype"] == "F32"]
    places = [header[name]["data_offsets"] for name in names]
    return data, [slice(8 + size + first, 8 + size + last) for first, last in places]


def parameters(weights):
    data, places = weights
    return array.array("f", b"".join(data[place] for place in places))


def write_moved(weights, path):
    """Each parameter one rounding up or down."""
    data, places = bytearray(weights[0]), weights[1]
    signs = random.Random(2)
    for place in places:
        values = array.array("f", bytes(data[place]))
        data[place] = array.array("f", (v * (1 + signs.choice((-1, 1)) * 2**-23) for v in values)).tobytes()
    with open(path, "wb") as file:
        file.write(data)


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(parameters(a), parameters(b))))
