"""The runs in which faults.py makes calls fail, and the files that they begin with."""
import collections
import gzip
import json
import pathlib
import pickle
import random
import shutil
import struct
import sys
import types
import zipfile

NETWORK = ["--model", "ResNet", "--hparams", '{"num_blocks": [1], "c_hidden": [8]}']
TRAIN = ["fit", *NETWORK, "--data", "data", "--batch-size", "8", "--val-split", "8", "--save-every", "0",
         "--limit-train-batches", "2", "--workers", "0"]
FIT = [*TRAIN, "--epochs", "2", "--out", "run"]
WEIGHTS = ["--weights", "best.safetensors"]
PICTURE = pathlib.Path(__file__).parents[2] / "examples/ankle_boot.png"


class Scenario:
    """A command and what must be the same after it: files below `results`, and standard output if `prints`. In its
    folder are the data set and, by `needs`, more. `words` is `prints` for what prints measurements: their figures may
    differ. `cut` is a training of which the first half is done before; `first`,
    commands that are run there before, as lists of program and arguments; `again`, options to go on with; `beside`,
    faults that every run has, for what is called only after them; `only`, the calls to try, where the others are
    another scenario's or each run is long."""

    def __init__(self, program, arguments, results=(), prints=False, needs=(), cut=(), first=(), again=None, beside=(),
                 only=(), words=False):
        self.program, self.arguments, self.results, self.prints, self.words = program, arguments, results, prints, words
        self.needs, self.cut, self.first, self.again, self.beside, self.only = needs, cut, first, again, beside, only


TUNE = ["tune", *NETWORK, "--batch-size", "2", "--image-size", "8", "--tuning", "t.sqlite"]
TABLE = ["table", "--models", "ResNet", "--data", "data", "--runs", "runs", "--epochs", "1", "--batch-size", "8",
         "--num-bench-iter", "1", "--workers", "0"]
SPEED = [*NETWORK, "--batch-size", "2", "--image-size", "8", "--num-warm-iter", "1", "--num-bench-iter", "1",
         "--print-plan"]
RACED = [*NETWORK, "--data", "data", "--batch-size", "8", "--val-split", "8", "--epochs", "1", "--workers", "0"]
RACE = ["race", *RACED, "--against", "run", "--target", "0", "--json", "--out", "raced"]
SCENARIOS = {
    "fit": Scenario("cltrain", FIT, ["run"], again=["--resume", "last"]),
    "fit, all": Scenario("cltrain", [*FIT, "--workers", "1", "--save-top-k", "2", "--model-ema", "--profiler",
                                     "--detect-anomaly", "--optimizer", "adamw", "--accumulate-grad-batches", "2",
                                     "--gradient-clip-val", "1", "--mixup", "0.5", "--scale", "0.5,1"], ["run"],
                         again=["--resume", "last"]),
    "fit, numbered": Scenario("cltrain", [*TRAIN, "--epochs", "5", "--save-top-k", "2", "--monitor", "train_loss"],
                              ["runs"],
                              again=["--resume", "last"], only=["unlink", "rmdir"]),
    "resume": Scenario("cltrain", [*FIT, "--resume", "last"], ["run"], cut=FIT, again=[]),
    "test": Scenario("cltrain", ["test", *WEIGHTS, "--data", "data", "--workers", "0", "--predictions", "p.csv",
                                 "--confusion", "c.png"], ["p.csv", "c.png"], True, ["weights"]),
    "folder": Scenario("cltrain", ["test", *WEIGHTS, "--data", "pictures", "--workers", "1", "--misclassified",
                                   "m.png"], ["m.png"], True, ["weights", "pictures"]),
    "predict": Scenario("cltrain", ["predict", *WEIGHTS, "a.png", "shots", "--class-names", "names.txt", "--json"], (),
                        True, ["weights"]),
    "export onnx": Scenario("cltrain", ["export", *WEIGHTS, "--format", "onnx", "--out", "o.onnx"], ["o.onnx"],
                            needs=["weights"]),
    "export safetensors": Scenario("cltrain", ["export", *WEIGHTS, "--format", "safetensors", "--out",
                                               "o.safetensors"], ["o.safetensors"], needs=["weights"]),
    "checkpoint": Scenario("cltrain", ["export", "--weights", "c.ckpt", "--out", "o.safetensors"], ["o.safetensors"],
                           needs=["weights", "checkpoint"]),
    "summary": Scenario("cltrain", ["summary", *NETWORK, "--json"], (), True),
    "plot": Scenario("cltrain", ["plot", "run", "--out", "c.png"], ["c.png"], first=[["cltrain", *FIT]]),
    "filters": Scenario("cltrain", ["plot", "--filters", "best.safetensors", "--out", "f.png"], ["f.png"],
                        needs=["weights"]),
    "configuration": Scenario("cltrain", ["fit", "--config", "c.yaml", "--print-config"], (), True,
                              needs=["configuration"]),
    "plan, cold": Scenario("planned", ["kernels"], (), True, again=[]),
    "plan, kept": Scenario("planned", ["kernels"], (), True, first=[["planned", "kernels"]], again=[]),
    "plan, not compiled": Scenario("planned", ["kernels"], again=[], beside=["clBuildProgram:1+"]),
    "grid": Scenario("cltrain", ["fit", "--model", "ResNet", "--data", "idx", "--hflip", "0.5", "--augmentation-grid",
                                 "g.png"], ["g.png"], needs=["idx"]),
    "devices": Scenario("cltrain", ["devices", "--json"], (), True),
    "models": Scenario("cltrain", ["models", "--json"], (), True),
    "peak": Scenario("clbench", ["peak", "--json"], words=True),
    "speed of training": Scenario("clbench", ["train", *SPEED], words=True),
    "speed of evaluation": Scenario("clbench", ["infer", *SPEED], words=True),
    "operations": Scenario("clbench", ["ops", "--conv", "8,8,8,3,1", "--batch-size", "2", "--variant", "im2col", "--peak",
                                       "1", "--bandwidth", "1", "--num-bench-iter", "1", "--trace", "trace.json"],
                           ["trace.json"]),
    "verify": Scenario("clbench", ["verify", "--self"]),
    "tune": Scenario("clbench", TUNE),
    "tune's worker": Scenario("clbench", ["tune-worker", "0:0", "conv2d forward x=2x3x8x8/1 y=2x8x8x8/16 k=3x3 s=1 p=1 "
                                          "d=1 g=1 bias act=relu", "0", "1", "60", "0", "1", ""]),
    "import": Scenario("clbench", ["tune", "--import", "t.json", "--tuning", "new.sqlite", "--list"], (), True,
                       first=[["clbench", *TUNE], ["clbench", "tune", "--tuning", "t.sqlite", "--export", "t.json"]]),
    "table": Scenario("clbench", TABLE, first=[["clbench", *TABLE, "--no-speed"]],
                      only=["tmpfile64", "fseek", "ftell", "fread", "fgets", "posix_spawn",
                            "posix_spawn_file_actions_init"]),
    "table, kept": Scenario("clbench", [*TABLE, "--no-speed"], ["runs"], first=[["clbench", *TABLE, "--no-speed"]],
                            again=[]),
    "race": Scenario("clbench", RACE, ["raced"], first=[["cltrain", "fit", *RACED, "--out", "run"]], again=[]),
    "race, kept": Scenario("clbench", RACE, ["raced"],
                           first=[["cltrain", "fit", *RACED, "--out", "run"], ["clbench", *RACE]], again=[]),
    "report": Scenario("clbench", ["report", "--table", "runs/table.json", "--out", "r.html"], ["r.html"],
                       first=[["clbench", *TABLE, "--no-speed"]]),
    "compare": Scenario("clbench", ["compare", "b.json", "a.json", "--json"], (), True, needs=["results"]),
}


# --- what they need ---

def write_data(folder):
    """CIFAR-10 of 50 images."""
    draw = random.Random(1)
    folder.mkdir()

    def records(count):
        return b"".join(bytes([i % 10]) + bytes(min(255, 20 * (i % 10) + draw.randrange(64)) for _ in range(3072))
                        for i in range(count))

    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(records(8))
    (folder / "test_batch.bin").write_bytes(records(10))
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n")


def write_weights(folder, run):
    run("cltrain", [*FIT, "--quiet"])
    shutil.move(folder / "run/best.safetensors", folder)
    shutil.rmtree(folder / "run")
    (folder / "shots").mkdir()
    for name in ("a.png", "shots/b.png"):
        shutil.copy(PICTURE, folder / name)
    (folder / "names.txt").write_text("".join(f"class {i}\n" for i in range(10)))


def write_pictures(folder, _):
    """A folder of images, of as many classes as the weights know."""
    for part in ("train", "test"):
        for label in range(10):
            path = folder / "pictures" / part / f"class{label}"
            path.mkdir(parents=True)
            shutil.copy(PICTURE, path / "a.png")


def write_idx(folder, _):
    """Two splits of 20 grey images of 28x28, one file of each kind compressed."""
    (folder / "idx").mkdir()
    for split in ("train", "t10k"):
        images = struct.pack(">4I", 2051, 20, 28, 28) + bytes(i % 251 for i in range(20 * 28 * 28))
        (folder / f"idx/{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
        (folder / f"idx/{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 20) + bytes(range(10)) * 2)


def read_safetensors(path):
    """Name, shape and bytes of each tensor of float32."""
    data = path.read_bytes()
    size, = struct.unpack("<Q", data[:8])
    for name, entry in json.loads(data[8:8 + size]).items():
        if entry.get("dtype") == "F32":
            begin, end = entry["data_offsets"]
            yield name, tuple(entry["shape"]), data[8 + size + begin:8 + size + end]


def write_checkpoint(folder, _):
    """The weights as PyTorch Lightning saves them. The pickle names PyTorch's classes, so stand-ins are registered."""
    class FloatStorage:
        def __init__(self, key, count):
            self.key, self.count = key, count

    class Tensor:
        def __init__(self, key, shape, count):
            strides = tuple(count // max(1, _product(shape[:i + 1])) for i in range(len(shape)))
            self.state = (FloatStorage(key, count), 0, shape, strides, False, collections.OrderedDict())

        def __reduce__(self):
            return _rebuild_tensor_v2, self.state

    def _rebuild_tensor_v2():
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", FloatStorage, obj.key, "cpu", obj.count) if isinstance(obj, FloatStorage) else None

    for module, item in (("torch", FloatStorage), ("torch._utils", _rebuild_tensor_v2)):
        sys.modules[module] = types.ModuleType(module)
        item.__module__, item.__qualname__ = module, item.__name__
        setattr(sys.modules[module], item.__name__, item)
    tensors = list(read_safetensors(folder / "best.safetensors"))
    state = {f"model.{name}": Tensor(str(i), shape, len(data) // 4) for i, (name, shape, data) in enumerate(tensors)}
    hyper = {"model_name": "ResNet", "model_hparams": json.loads(NETWORK[3]), "optimizer_name": "SGD",
             "optimizer_hparams": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}}
    with zipfile.ZipFile(folder / "c.ckpt", "w") as archive:
        with archive.open("archive/data.pkl", "w") as out:
            Pickler(out, 2).dump({"epoch": 1, "pytorch-lightning_version": "1.0", "state_dict": state,
                                  "hyper_parameters": hyper})
        for i, (_, _, data) in enumerate(tensors):
            archive.writestr(f"archive/data/{i}", data)
        archive.writestr("archive/version", "3\n")
    del sys.modules["torch"], sys.modules["torch._utils"]


def _product(numbers):
    result = 1
    for n in numbers:
        result *= n
    return result


def write_configuration(folder, _):
    (folder / "c.yaml").write_text("model: ResNet\nhparams:\n  num_blocks: [1]\n  c_hidden: [8]\ndata: data\n"
                                   "epochs: 2\nmilestones: [1]\nlr: 0.1\nout: \"a folder\"\n")


def write_results(folder, _):
    """Results of clbench ops, with and without quartiles."""
    for name, ms in (("a.json", 1.0), ("b.json", 1.5)):
        steps = [{"layer": f"l{i}", "op": "conv2d", "kernel": "k", "ms": ms + i, "ms_p25": ms + i - 0.1,
                  "ms_p75": ms + i + 0.1} for i in range(70)]
        (folder / name).write_text(json.dumps({"model": "ResNet", "mode": "train", "device": "d", "whole": {"ms": 50},
                                               "step_ms_p25": 49, "step_ms_p75": 51, "steps": steps}))


NEEDS = {"weights": write_weights, "pictures": write_pictures, "checkpoint": write_checkpoint,
         "configuration": write_configuration, "results": write_results, "idx": write_idx}


def prepare(scenario, folder, run):
    """Into an empty folder. `run` runs a program with arguments there, and an environment; it must succeed without."""
    write_data(folder / "data")
    for need in scenario.needs:
        NEEDS[need](folder, run)
    for program, *arguments in scenario.first:
        run(program, arguments)
    if scenario.cut:
        run("cltrain", scenario.cut, CLNET_FAULT="clEnqueueNDRangeKernel:150")
        if not (folder / "run/resume.safetensors").exists():
            sys.exit("the run before was not to be interrupted")
