"""What other programs make of our exports: PyTorch of the weights, onnxruntime of the models. For test_slow_export.c.

    export_peers.py models FOLDER NAME           NAME.onnx and NAME-folded.onnx against NAME.truth.safetensors
    export_peers.py random FOLDER COUNT          the same of 0 to COUNT - 1, which may have several inputs
    export_peers.py weights FOLDER NAME MODEL    NAME*.safetensors, loaded strictly into bench/peers' MODEL, likewise
    export_peers.py published FOLDER NAME SHARED the same models against the published logits, from 8-bit images
    export_peers.py make FOLDER MODEL            MODEL-<type>.pt, state_dicts of each type, and what PyTorch computes
"""

import os
import sys
import tarfile

import numpy
import onnx
import onnxruntime
import torch
from safetensors.numpy import load_file, save_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "peers"))
import models  # noqa: E402

TOLERANCE = 1e-5  # of the largest logit: float32 sums in another order through up to 50 layers
TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def compare(what, found, expected):
    assert found.shape == expected.shape, f"{what}: {found.shape}, expected {expected.shape}"
    error = numpy.abs(found.astype(numpy.float64) - expected).max() / numpy.abs(expected).max()
    print(f"{what}: relative error {error:.1e}")
    assert error <= TOLERANCE, f"{what}: relative error {error}"


def session(path):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(peer, images, batch):
    parts = [peer.run(["logits"], {"input": images[i : i + batch]})[0] for i in range(0, len(images), batch)]
    return numpy.concatenate(parts)


def check_models(folder, name):
    truth = load_file(f"{folder}/{name}.truth.safetensors")
    for kind in ("", "-folded"):
        peer = session(f"{folder}/{name}{kind}.onnx")
        for batch in (len(truth["input"]), 1):
            compare(f"{name}{kind}.onnx, batch {batch}", run(peer, truth["input"], batch), truth["logits"])


def check_random(folder, count):
    for name in map(str, range(int(count))):
        truth = load_file(f"{folder}/{name}.truth.safetensors")
        expected = truth.pop("logits")
        for kind in ("", "-folded"):
            peer = session(f"{folder}/{name}{kind}.onnx")
            names = [entry.name for entry in peer.get_inputs()]
            given = {key: truth[key if len(names) > 1 else only(truth)].astype(numpy.float32) for key in names}
            found = peer.run(["logits"], given)[0]
            compare(f"random network {name}{kind}.onnx", found.reshape(expected.shape), expected)


def only(entries):
    assert len(entries) == 1
    return next(iter(entries))


def logits_of(model, images):
    with torch.no_grad():
        return model.eval()(torch.from_numpy(images)).numpy()


def check_weights(folder, name, model_name):
    truth = load_file(f"{folder}/{name}.truth.safetensors")
    net = models.build(model_name)
    net.load_state_dict(models.load(f"{folder}/{name}.safetensors"), strict=True)
    compare(f"{name}.safetensors in PyTorch", logits_of(net, truth["input"]), truth["logits"])
    state = {key: value.clone() for key, value in net.state_dict().items()}
    for kind in ("fp16", "bf16"):
        rounded = models.load(f"{folder}/{name}-{kind}.safetensors")
        for key, value in rounded.items():
            assert value.dtype == TYPES[kind] and torch.equal(value, state[key].to(TYPES[kind])), f"{kind}: {key}"
        net.load_state_dict(rounded, strict=True)


def check_published(folder, name, shared):
    with tarfile.open(f"{shared}/data/cifar-10-sample-binary.tar.xz") as archive:
        raw = archive.extractfile("cifar-10-batches-bin/test_batch.bin").read()
    images = numpy.frombuffer(raw, numpy.uint8).reshape(-1, 3073)[:, 1:].reshape(-1, 3, 32, 32)
    expected = load_file(f"{shared}/pretrained/{name}.logits.safetensors")["logits"]
    for kind in ("", "-folded"):
        compare(f"{name}{kind}.onnx, published", run(session(f"{folder}/{name}{kind}.onnx"), images, 128), expected)


def make(folder, model_name):
    torch.manual_seed(7)
    net = models.build(model_name)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    images = torch.randn(7, 3, 32, 32).numpy()
    for kind, dtype in TYPES.items():
        state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in net.state_dict().items()}
        torch.save(state, f"{folder}/{model_name}-{kind}.pt")
        cast = models.build(model_name)
        cast.load_state_dict(state, strict=True)
        truth = {"input": images, "logits": logits_of(cast, images)}
        save_file(truth, f"{folder}/{model_name}-{kind}.truth.safetensors")


COMMANDS = {
    "models": check_models,
    "random": check_random,
    "weights": check_weights,
    "published": check_published,
    "make": make,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
