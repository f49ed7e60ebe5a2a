#!/usr/bin/env python3
"""Compares clnet with PyTorch, side by side in one run: the same networks, batch size, threads and statistics.

They take turns: in every round each of them runs a few steps, PyTorch in processes that stay (worker.py), clnet as
`clbench train`, `clbench infer` and `cltrain fit`. A round counts with its median step (with data: with its mean),
and what is reported is the median of the rounds. See README.md beside this file.
"""

import argparse
import csv
import datetime
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading

import images

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MODELS = ["ResNet", "ResNetPreAct", "GoogleNet", "DenseNet"]
WHATS = ["training", "inference", "data", "memory"]
LAYOUTS = ["nchw", "channels_last"]
VARIANTS = {
    "cpu": [f"{how} {layout}" for how in ("eager", "compile") for layout in LAYOUTS],
    "cuda": [f"{how} {layout}{t}" for t in ("", " tf32") for how in ("eager", "compile") for layout in LAYOUTS],
}
WARM_STEPS = 2  # untimed, at the start of each round
INFERENCE_STEPS = 3  # for one of training, since they take less time


class Failed(Exception):
    """One contender cannot do something; the others go on."""


def environment(threads):
    """One thread a core, for both sides. pocl took one of these names before 4.0 and the other since."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_PROC_BIND="true", OMP_PLACES="cores")
    env |= {"POCL_AFFINITY": "1", "POCL_MAX_PTHREAD_COUNT": str(threads), "POCL_CPU_MAX_CU_COUNT": str(threads)}
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # would choose slower code than the processor can run
        env.pop(name, None)
    return env


class Clnet:
    name = "clnet"

    def __init__(self, a, model=None):
        self.a, self.model, self.env = a, model, environment(a.threads)
        self.out = tempfile.TemporaryDirectory()

    def program(self, name, *arguments):
        """What it prints, and the peak of its memory in KiB."""
        path = os.path.join(os.path.dirname(self.a.clbench), name)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen([path, *map(str, arguments)], stdout=out, stderr=err, env=self.env)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0), err.seek(0)
            if process.returncode != 0:
                raise Failed(f"{name} {arguments[0]}: {(err.read().strip().splitlines() or ['failed'])[-1]}")
            return out.read(), usage.ru_maxrss

    def bench(self, command, steps):
        device = ["--device", self.a.cl_device] if self.a.cl_device else []
        return self.program("clbench", command, "--model", self.model, "--batch-size", self.a.batch_size, "--json",
                            "--num-warm-iter", WARM_STEPS, "--num-bench-iter", steps, *device)  # fmt: skip

    def data(self):
        """The second of two epochs over as many images as PyTorch's steps take."""
        device = ["--device", self.a.cl_device] if self.a.cl_device else []
        out = os.path.join(self.out.name, "run")
        self.program("cltrain", "fit", "--model", self.model, "--data", self.a.data, "--epochs", 2, "--val-split", 0,
                     "--split-indices", self.a.indices, "--batch-size", self.a.batch_size, "--lr", 1e-4, "--quiet",
                     "--save-every", 100000, "--out", out, *device)  # fmt: skip
        with open(os.path.join(out, "metrics.csv"), encoding="ascii") as file:
            images_per_s = float(list(csv.DictReader(file))[-1]["images_per_s"])
        subprocess.run(["rm", "-r", out], check=True)
        return images_per_s

    def images_per_s(self, what, steps):
        if what == "data":
            return self.data()
        out, _ = self.bench("train" if what == "training" else "infer", steps)
        return json.loads(out)["images_per_s"]

    def warm_up(self, what):
        self.images_per_s(what, 1)  # compiles the kernels, if they are not in the driver's cache

    def memory(self):
        idle = self.program("cltrain", "devices")[1]
        return {"peak_kib": self.bench("train", 3)[1], "idle_kib": idle}


class Peer:
    """A process of worker.py, which waits without using the processor while others run."""

    def __init__(self, a, variant, model=None):
        self.name, self.batch_size, self.limit_s, self.late = variant, a.batch_size, a.limit, False
        arguments = ["--variant", variant, "--batch-size", a.batch_size, "--threads", a.threads, "--device", a.device]
        if model:
            arguments += ["--model", model, "--data", a.data, "--images", a.steps * a.batch_size]
        self.err = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [a.python, os.path.join(HERE, "worker.py"), *map(str, arguments)], stdin=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stderr=self.err, env=environment(a.threads), start_new_session=True)  # fmt: skip
        self.info = self.answer()

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # the compiler's helpers too
        except ProcessLookupError:
            pass
        self.process.wait()

    def on_timeout(self):
        self.late = True
        self.close()

    def answer(self):
        timer = threading.Timer(self.limit_s, self.on_timeout)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if self.late:
            raise Failed(f"took longer than {self.limit_s} s")
        if not line:
            self.err.seek(0)
            raise Failed((self.err.read().strip().splitlines() or ["the process ended"])[-1])
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def run(self, what, steps):
        try:
            print(what, steps, file=self.process.stdin, flush=True)
        except OSError:
            raise Failed("its process has ended") from None
        return self.answer()

    def images_per_s(self, what, steps):
        seconds = self.run(what, WARM_STEPS + steps)["seconds"][WARM_STEPS:]
        middle = statistics.mean(seconds) if what == "data" else statistics.median(seconds)
        return self.batch_size / middle

    def warm_up(self, what):
        self.run(what, WARM_STEPS)


def compare(a, what, contenders):
    """{name: {"samples": [images/s of each round]} or {"failed": why}}"""
    result, steps = {}, a.steps * (INFERENCE_STEPS if what == "inference" else 1)
    for round_ in range(-1, a.rounds):
        for c in contenders:
            entry = result.setdefault(c.name, {"samples": []})
            if "failed" in entry:
                continue
            try:
                if round_ < 0:
                    c.warm_up(what)
                else:
                    entry["samples"].append(c.images_per_s(what, steps))
            except Failed as failure:
                result[c.name] = {"failed": str(failure)}
    for entry in result.values():
        if "failed" not in entry:
            entry["median"] = statistics.median(entry["samples"])
    return result


def best_of(result):
    """The fastest of the others that computes in full float32, as clnet does; None if there is none."""
    names = [n for n, e in result.items() if n != Clnet.name and "failed" not in e and "tf32" not in n]
    return max(names, key=lambda n: result[n]["median"], default=None)


def add_ratios(result):
    ours = result[Clnet.name]
    for name, entry in result.items():
        if name != Clnet.name and "failed" not in entry and "failed" not in ours:
            entry["ratio"] = ours["median"] / entry["median"]
            entry["ratios"] = [x / y for x, y in zip(ours["samples"], entry["samples"])]


def print_speed(model, what, result):
    print(f"\n{model}, {'training with data' if what == 'data' else what}, images/s"
          f"\n  {'':22}{'median':>9}{'lowest':>9}{'highest':>9}   clnet is (by round)")  # fmt: skip
    for name, e in result.items():
        if "failed" in e:
            print(f"  {name:22}  failed: {e['failed']}")
            continue
        ratio = f"   {e['ratio']:.2f}x ({min(e['ratios']):.2f}-{max(e['ratios']):.2f})" if "ratio" in e else ""
        print(f"  {name:22}{e['median']:9.1f}{min(e['samples']):9.1f}{max(e['samples']):9.1f}{ratio}")
    sys.stdout.flush()


def measure_memory(a, model, variants):
    """Peaks of processes that only train, in KiB, and what such a process has before it does anything."""
    result = {}
    for name in [Clnet.name, *variants]:
        peer = None
        try:
            if name == Clnet.name:
                result[name] = Clnet(a, model).memory()
                continue
            peer = Peer(a, name, model)
            answer = peer.run("training", 3)
            result[name] = {"idle_kib": peer.info["peak_kib"], **{k: v for k, v in answer.items() if k != "seconds"}}
        except Failed as failure:
            result[name] = {"failed": str(failure)}
        finally:
            if peer:
                peer.close()
    return result


def used_mib(entry):
    return (entry["peak_kib"] - entry["idle_kib"]) / 1024


def print_memory(model, result):
    print(f"\n{model}, training, peak memory in MiB\n  {'':22}{'peak':>9}{'idle':>9}{'less':>9}   clnet takes")
    ours = result[Clnet.name]
    for name, e in result.items():
        if "failed" in e:
            print(f"  {name:22}  failed: {e['failed']}")
            continue
        share = "" if name == Clnet.name or "failed" in ours else f"   {100 * used_mib(ours) / used_mib(e):.0f}%"
        print(f"  {name:22}{e['peak_kib'] / 1024:9.1f}{e['idle_kib'] / 1024:9.1f}{used_mib(e):9.1f}{share}")
    sys.stdout.flush()


def measure_model(a, model, variants):
    result, peers = {}, []
    try:
        for variant in variants:
            peers.append(Peer(a, variant, model))
        for what in [w for w in a.what if w != "memory"]:
            # With data, only what trained fastest without: it is the same step.
            best = best_of(result["training"]) if what == "data" and "training" in result else None
            chosen = [p for p in peers if best in (None, p.name)]
            result[what] = compare(a, what, [Clnet(a, model), *chosen])
            add_ratios(result[what])
            print_speed(model, what, result[what])
    finally:
        for peer in peers:
            peer.close()
    if "memory" in a.what:
        result["memory"] = measure_memory(a, model, variants)
        print_memory(model, result["memory"])
    return result


def print_summary(results):
    print(f"\n{'':14}{'':20}{'clnet':>8}{'PyTorch':>9}  ratio (by round)")
    for model, result in results.items():
        for what, r in result.items():
            ours = r[Clnet.name]
            if what == "memory":
                used = {n: used_mib(e) for n, e in r.items() if "failed" not in e}
                theirs = min((n for n in used if n != Clnet.name), key=used.get, default=None)
                if theirs and Clnet.name in used:
                    print(f"{model:14}{'memory, MiB':20}{used[Clnet.name]:8.0f}{used[theirs]:9.0f}  "
                          f"{used[Clnet.name] / used[theirs]:.2f} of the least: {theirs}")  # fmt: skip
                continue
            best = best_of(r)
            if best and "failed" not in ours:
                e = r[best]
                print(f"{model:14}{what + ', images/s':20}{ours['median']:8.0f}{e['median']:9.0f}  {e['ratio']:.2f}x "
                      f"({min(e['ratios']):.2f}-{max(e['ratios']):.2f}) the best: {best}")  # fmt: skip


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit():
    describe = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip()


def about(a, torch):
    """What has to be known to read the numbers."""
    clnet = Clnet(a)
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
        "clnet": {"commit": commit(), "version": clnet.program("clbench", "--version")[0].strip(),
                  "device": a.cl_device, "devices": json.loads(clnet.program("cltrain", "devices", "--json")[0])},
        "pytorch": {k: v for k, v in torch.items() if k != "peak_kib"} | {"device": a.device},
        "options": {k: getattr(a, k) for k in ("batch_size", "threads", "rounds", "steps", "what")},
    }  # fmt: skip


def choices(text, all_, option):
    chosen = text.split(",")
    for name in chosen:
        if name not in all_:
            sys.exit(f"--{option}: '{name}' is none of {', '.join(all_)}")
    return chosen


def positive(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return int(text)


def arguments():
    parser = argparse.ArgumentParser(
        description="Compares clnet with PyTorch in alternating rounds; run bench/peers/setup.sh first.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)  # fmt: skip
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--what", default=",".join(WHATS), help="data: training with reading and augmentation")
    parser.add_argument("--variants", help="of PyTorch, such as 'eager nchw,compile channels_last'; default: all")
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--steps", type=positive, default=10,
                        help=f"in a round; inference: {INFERENCE_STEPS} times that")  # fmt: skip
    parser.add_argument("--data", help="a folder with CIFAR-10's binary files; default: noise, made for the run")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto",
                        help="PyTorch's; cuda is written with care but was never tried")  # fmt: skip
    parser.add_argument("--cl-device", help="clnet's; default: cpu, or with cuda gpu")
    parser.add_argument("--limit", type=positive, default=900, help="seconds that compiling a variant may take")
    parser.add_argument("--clbench", default=os.path.join(ROOT, "build/clbench"), help="cltrain lies beside it")
    parser.add_argument("--python", default=os.path.join(ROOT, "build/peers-venv/bin/python"), help="that has PyTorch")
    parser.add_argument("--out", help="JSON file; default: bench/results/peers-<processor>-<day>.json")
    a = parser.parse_args()
    a.models, a.what = choices(a.models, MODELS, "models"), choices(a.what, WHATS, "what")
    for path, make in ((a.clbench, "scripts/build.sh"), (a.python, "bench/peers/setup.sh")):
        if not os.access(path, os.X_OK):
            sys.exit(f"{path} is not there: run {make} first")
    return a


def prepare_data(a, folder):
    needed = a.steps * a.batch_size
    if not a.data:
        a.data = os.path.join(folder, "cifar")
        images.make(a.data, needed)
    try:
        there = images.count(a.data)
    except OSError as error:
        sys.exit(f"--data: {error}")
    if there < needed:
        sys.exit(f"--data: {a.data} has {there} training images, but --steps and --batch-size ask for {needed}")
    a.indices = os.path.join(folder, "indices.txt")
    with open(a.indices, "w", encoding="ascii") as file:
        print(*range(needed), file=file)


def main():
    a = arguments()
    asked, a.device = a.device, "cpu" if a.device == "auto" else a.device
    idle = Peer(a, "")
    idle.close()
    if asked == "auto" and idle.info["cuda"]:
        a.device = "cuda"
    a.cl_device = a.cl_device or ("gpu" if a.device == "cuda" else "cpu")
    variants = choices(a.variants, VARIANTS[a.device], "variants") if a.variants else VARIANTS[a.device]
    report = about(a, idle.info)
    name = idle.info["cuda_device"] if a.device == "cuda" else report["processor"]
    slug = re.sub(r"\W+", "-", re.sub(r"\(\w+\)", "", name)).lower()
    out = a.out or os.path.join(ROOT, f"bench/results/peers-{slug}-{report['date'][:10]}.json")
    print(f"clnet {report['clnet']['commit']} on {a.cl_device}, PyTorch {idle.info['torch']} on {a.device}; "
          f"{report['processor']}, {a.threads} threads, batch {a.batch_size}, {a.rounds} rounds")  # fmt: skip
    if report["load_before"] > 0.5:
        print(f"warning: the machine is not idle (load {report['load_before']:.1f}); the numbers are not to be kept")
    report["results"] = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare_data(a, folder)
        for model in a.models:
            report["results"][model] = measure_model(a, model, variants)
            with open(out, "w", encoding="utf-8") as file:
                json.dump(report, file, indent=1)
                file.write("\n")
    print_summary(report["results"])
    print(f"\nwritten to {out}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through every `finally`, which end the processes
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell started this in the background
    try:
        main()
    except Failed as failure:
        sys.exit(f"pytorch.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
