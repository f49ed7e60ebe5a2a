"""PyTorch's side of pytorch.py: one network in one variant, in a process that does nothing until it is told to.

Each line of standard input, "training STEPS", "inference STEPS" or "data STEPS", is answered by one line of JSON:
the seconds of each step, and the peak of this process's memory.
"""

import argparse
import json
import sys
import time

import torch
from torch.nn import functional

import images
import models

LR = 1e-4  # small: on noise nothing may diverge


def peak_kib():
    with open("/proc/self/status", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM")), 0)


class Worker:
    def __init__(self, a):
        self.a = a
        self.device = torch.device(a.device)
        self.format = torch.channels_last if "channels_last" in a.variant else torch.contiguous_format
        self.compiled = "compile" in a.variant
        torch.manual_seed(42)
        torch.set_num_threads(a.threads)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = "tf32" in a.variant
        if self.compiled:
            from torch._inductor import config

            config.freezing = True  # in inference: batch norm folded, weights in oneDNN's layout
        self.x = torch.randn(a.batch_size, 3, 32, 32).contiguous(memory_format=self.format).to(self.device)
        self.y = (torch.arange(a.batch_size) % 10).to(self.device)
        self.batches = self.train = self.infer = None

    def model(self):
        return models.build(self.a.model).to(self.device).to(memory_format=self.format)

    def training_step(self):
        model = self.model().train()
        optimizer = models.optimizer(self.a.model, model, LR)

        def loss_of(x, y):
            return functional.cross_entropy(model(x), y)

        forward = torch.compile(loss_of) if self.compiled else loss_of

        def step(x, y):
            loss = forward(x, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def training(self):
        self.train = self.train or self.training_step()
        self.train(self.x, self.y)

    def data(self):
        if self.batches is None:
            a = self.a
            pictures, labels = (of[: a.images] for of in images.read(a.data, "train"))
            self.batches = images.Batches(pictures, labels, a.batch_size, self.device, self.format)
        self.train = self.train or self.training_step()
        self.train(*self.batches.get())

    def inference(self):
        if self.infer is None:
            model = self.model().eval()
            self.infer = torch.compile(model) if self.compiled else model
        with torch.no_grad():
            self.infer(self.x)

    def measure(self, step, count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            step()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        result = {"seconds": seconds, "peak_kib": peak_kib()}
        if self.device.type == "cuda":
            result["peak_device_bytes"] = torch.cuda.max_memory_reserved()
        return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")  # without one: an idle process, to measure what importing takes
    parser.add_argument("--variant", default="eager nchw")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data")
    parser.add_argument("--images", type=int, default=0)
    a = parser.parse_args()
    info = {"torch": torch.__version__, "cuda": torch.cuda.is_available(), "peak_kib": peak_kib()}
    if torch.cuda.is_available():
        info |= {"cuda_device": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
    print(json.dumps(info), flush=True)
    if not a.model:
        return
    worker = Worker(a)
    for line in sys.stdin:
        what, count = line.split()
        try:
            answer = worker.measure(getattr(worker, what), int(count))
        except Exception as error:  # that of one variant must not stop the rest
            answer = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
