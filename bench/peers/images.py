"""CIFAR-10 as binary files, read or made up, or as an image folder; the recipe's augmentation of batches in PyTorch."""

import math
import os
import random
import sys

MEAN = (0.49139968, 0.48215841, 0.44653091)
STD = (0.24703223, 0.24348513, 0.26158784)
RECORD = 1 + 3 * 32 * 32
FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def make(folder, count):
    """Writes `count` training images of noise, and a few to test on, as CIFAR-10's files."""
    os.makedirs(folder, exist_ok=True)
    source = random.Random(42)
    for i, name in enumerate(FILES["train"] + FILES["test"]):
        images = (count + 4 - i) // 5 if name in FILES["train"] else 128
        with open(os.path.join(folder, name), "wb") as file:
            for _ in range(images):
                file.write(bytes([source.randrange(10)]) + source.randbytes(RECORD - 1))


def count(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in FILES["train"]) // RECORD


def read_binary(folder, split):
    import torch

    files = [open(os.path.join(folder, name), "rb").read() for name in FILES[split]]
    records = torch.frombuffer(bytearray(b"".join(files)), dtype=torch.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()


def visible(folder):
    """The paths in it, but for hidden ones, in the order of their names."""
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def read_folder(folder, split):
    import numpy
    import torch
    from PIL import Image

    images, labels = [], []
    classes = [path for path in visible(os.path.join(folder, split)) if os.path.isdir(path)]
    for label, of_class in enumerate(classes):
        for path in visible(of_class):
            image = Image.open(path).convert("RGB")
            if image.size != (32, 32):
                sys.exit(f"{path} is an image of {image.size[0]}x{image.size[1]}, expected 32x32")
            images.append(numpy.asarray(image))
            labels.append(label)
    if not images:
        sys.exit(f"{os.path.join(folder, split)}: expected images in <class>/, found none")
    return torch.from_numpy(numpy.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def read(folder, split):
    """Images, N x 3 x 32 x 32 bytes, and labels of a split, in the order in which cltrain numbers them."""
    return (read_binary if os.path.exists(os.path.join(folder, FILES[split][0])) else read_folder)(folder, split)


class Batches:
    """Batches of images in random order, the last partial one dropped: flipped or not, cropped, resized, normalised.

    Everything is done for the whole batch at once by a few tensor operations, which is far faster than the usual
    image by image: a peer's input must not be what limits it. The images stay in memory, as bytes.
    """

    def __init__(self, images, labels, batch_size, device, memory_format):
        import torch

        self.torch = torch
        self.images = images.contiguous(memory_format=memory_format).to(device)
        self.labels = labels.to(device)
        self.batch_size, self.device, self.memory_format = batch_size, device, memory_format
        self.scale = torch.tensor([1 / (255 * s) for s in STD], device=device).reshape(1, 3, 1, 1)
        self.shift = torch.tensor([-m / s for m, s in zip(MEAN, STD)], device=device).reshape(1, 3, 1, 1)
        self.order, self.next = None, 0

    def normalised(self, images):
        return images.float().mul_(self.scale).add_(self.shift).contiguous(memory_format=self.memory_format)

    def in_order(self):
        """All images once, as they are but normalised."""
        for begin in range(0, len(self.images), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            yield self.normalised(self.images[part]), self.labels[part]

    def crops(self, n):
        """Tops, lefts, heights and widths: area 0.8 to 1, ratio 0.9 to 1.1, the first of ten tries that fits."""
        torch, device = self.torch, self.device
        area = 32 * 32 * torch.empty(n, 10, device=device).uniform_(0.8, 1.0)
        ratio = torch.empty(n, 10, device=device).uniform_(math.log(0.9), math.log(1.1)).exp()
        w, h = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (w <= 32) & (h <= 32)
        first = fits.int().argmax(dim=1, keepdim=True)
        none = ~fits.any(dim=1)
        w = w.gather(1, first).squeeze(1).masked_fill(none, 32)
        h = h.gather(1, first).squeeze(1).masked_fill(none, 32)
        top = (torch.rand(n, device=device) * (33 - h)).floor()
        left = (torch.rand(n, device=device) * (33 - w)).floor()
        return top, left, h, w

    def axis(self, start, size):
        """Where each of 32 outputs reads on an axis, in [-1, 1]; not beyond the crop's edge."""
        centre = (self.torch.arange(32, device=self.device) + 0.5) / 32 * size.unsqueeze(1) - 0.5
        return (start.unsqueeze(1) + centre.clamp(min=0).minimum(size.unsqueeze(1) - 1)) * (2 / 31) - 1

    def get(self):
        torch, n = self.torch, self.batch_size
        if self.order is None or self.next + n > len(self.order):
            self.order, self.next = torch.randperm(len(self.images), device=self.device), 0
        picked = self.order[self.next : self.next + n]
        self.next += n
        top, left, h, w = self.crops(n)
        x, y = self.axis(left, w), self.axis(top, h)
        x = torch.where(torch.rand(n, 1, device=self.device) < 0.5, x.flip(1), x)
        grid = torch.stack([x.unsqueeze(1).expand(n, 32, 32), y.unsqueeze(2).expand(n, 32, 32)], dim=3)
        images = self.images[picked].float()
        images = torch.nn.functional.grid_sample(images, grid, "bilinear", "border", align_corners=True)
        return self.normalised(images), self.labels[picked]
