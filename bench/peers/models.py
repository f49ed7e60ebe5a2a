"""GoogleNet, ResNet, ResNetPreAct and DenseNet for 32x32 images in PyTorch, as models/ has them: the same layers, and
the same names in the state_dict, so that weights go both ways with strict=True.

Run alone it checks the parameter counts, and loads the weights it is given:

    build/peers-venv/bin/python bench/peers/models.py [MODEL=FILE ...]     (.safetensors, .ckpt, .pt)
"""

import json
import sys

import torch
from torch import nn

PARAMETERS = {"GoogleNet": 260650, "ResNet": 272378, "ResNetPreAct": 272250, "DenseNet": 239146}


def conv(c_in, c_out, kernel, stride=1, bias=False):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=bias)


def conv_norm_act(c_in, c_out, kernel):
    return [conv(c_in, c_out, kernel, bias=True), nn.BatchNorm2d(c_out), nn.ReLU()]


def norm_act_conv(c_in, c_out, kernel, stride=1):
    return [nn.BatchNorm2d(c_in), nn.ReLU(), conv(c_in, c_out, kernel, stride)]


def classifier(channels, classes, *before):
    return nn.Sequential(*before, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class InceptionBlock(nn.Module):
    def __init__(self, c_in, reduce_3x3, reduce_5x5, out_1x1, out_3x3, out_5x5, out_pool):
        super().__init__()
        self.conv_1x1 = nn.Sequential(*conv_norm_act(c_in, out_1x1, 1))
        self.conv_3x3 = nn.Sequential(*conv_norm_act(c_in, reduce_3x3, 1), *conv_norm_act(reduce_3x3, out_3x3, 3))
        self.conv_5x5 = nn.Sequential(*conv_norm_act(c_in, reduce_5x5, 1), *conv_norm_act(reduce_5x5, out_5x5, 5))
        self.max_pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv_norm_act(c_in, out_pool, 1))

    def forward(self, x):
        return torch.cat([self.conv_1x1(x), self.conv_3x3(x), self.conv_5x5(x), self.max_pool(x)], dim=1)


class GoogleNet(nn.Module):
    # channels: reduced for 3x3 and 5x5; out of 1x1, 3x3, 5x5 and pooling. None is a max pooling.
    BLOCKS = [
        (32, 16, 16, 32, 8, 8), (32, 16, 24, 48, 12, 12), None,
        (32, 16, 24, 48, 12, 12), (32, 16, 16, 48, 16, 16), (32, 16, 16, 48, 16, 16), (32, 16, 32, 48, 24, 24), None,
        (48, 16, 32, 64, 16, 16), (48, 16, 32, 64, 16, 16),
    ]  # fmt: skip

    def __init__(self, classes=10):
        super().__init__()
        self.input_net = nn.Sequential(*conv_norm_act(3, 64, 3))
        channels, blocks = 64, []
        for block in self.BLOCKS:
            if block is None:
                blocks.append(nn.MaxPool2d(3, 2, 1))
            else:
                blocks.append(InceptionBlock(channels, *block))
                channels = sum(block[2:])
        self.inception_blocks = nn.Sequential(*blocks)
        self.output_net = classifier(channels, classes)
        initialise(self, "fan_in")

    def forward(self, x):
        return self.output_net(self.inception_blocks(self.input_net(x)))


class ResNetBlock(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.net = nn.Sequential(
            conv(c_in, c_out, 3, stride), nn.BatchNorm2d(c_out), nn.ReLU(), conv(c_out, c_out, 3), nn.BatchNorm2d(c_out)
        )
        self.downsample = conv(c_in, c_out, 1, stride, bias=True) if stride > 1 else None
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.net(x) + (x if self.downsample is None else self.downsample(x)))


class PreActResNetBlock(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.net = nn.Sequential(*norm_act_conv(c_in, c_out, 3, stride), *norm_act_conv(c_out, c_out, 3))
        self.downsample = nn.Sequential(*norm_act_conv(c_in, c_out, 1, stride)) if stride > 1 else None

    def forward(self, x):
        return self.net(x) + (x if self.downsample is None else self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, classes=10, block=ResNetBlock, hidden=(16, 32, 64), blocks=(3, 3, 3)):
        super().__init__()
        norm_act = [nn.BatchNorm2d(hidden[0]), nn.ReLU()] if block is ResNetBlock else []
        self.input_net = nn.Sequential(conv(3, hidden[0], 3), *norm_act)
        channels, layers = hidden[0], []
        for group, (c_out, count) in enumerate(zip(hidden, blocks)):
            for i in range(count):
                layers.append(block(channels, c_out, 2 if group > 0 and i == 0 else 1))
                channels = c_out
        self.blocks = nn.Sequential(*layers)
        self.output_net = classifier(channels, classes)
        initialise(self, "fan_out")

    def forward(self, x):
        return self.output_net(self.blocks(self.input_net(x)))


def ResNetPreAct(classes=10):
    return ResNet(classes, PreActResNetBlock)


class DenseLayer(nn.Module):
    def __init__(self, c_in, bottleneck, growth):
        super().__init__()
        self.net = nn.Sequential(*norm_act_conv(c_in, bottleneck, 1), *norm_act_conv(bottleneck, growth, 3))

    def forward(self, x):
        return torch.cat([self.net(x), x], dim=1)


class DenseBlock(nn.Module):
    def __init__(self, c_in, layers, bottleneck, growth):
        super().__init__()
        self.block = nn.Sequential(*[DenseLayer(c_in + i * growth, bottleneck, growth) for i in range(layers)])

    def forward(self, x):
        return self.block(x)


class Transition(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.transition = nn.Sequential(*norm_act_conv(c_in, c_out, 1), nn.AvgPool2d(2, 2))

    def forward(self, x):
        return self.transition(x)


class DenseNet(nn.Module):
    def __init__(self, classes=10, num_layers=(6, 6, 6, 6), bn_size=2, growth=16):
        super().__init__()
        channels, blocks = growth * bn_size, []
        self.input_net = nn.Sequential(conv(3, channels, 3, bias=True))
        for i, layers in enumerate(num_layers):
            blocks.append(DenseBlock(channels, layers, bn_size * growth, growth))
            channels += layers * growth
            if i + 1 < len(num_layers):
                blocks.append(Transition(channels, channels // 2))
                channels //= 2
        self.blocks = nn.Sequential(*blocks)
        self.output_net = classifier(channels, classes, nn.BatchNorm2d(channels), nn.ReLU())
        initialise(self, "fan_in")

    def forward(self, x):
        return self.output_net(self.blocks(self.input_net(x)))


MODELS = {"GoogleNet": GoogleNet, "ResNet": ResNet, "ResNetPreAct": ResNetPreAct, "DenseNet": DenseNet}


def initialise(model, fan):
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=fan, nonlinearity="relu")


def build(name):
    """The network by its name in clnet; the number of its parameters is checked."""
    model = MODELS[name]()
    count = sum(p.numel() for p in model.parameters())
    assert count == PARAMETERS[name], f"{name}: {count} parameters, expected {PARAMETERS[name]}"
    return model


def optimizer(name, model, lr):
    """That of the network's recipe, in the variant that launches least: one call for all parameters."""
    if name in ("ResNet", "ResNetPreAct"):
        return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4, fused=True)
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4, fused=True)


def load(path):
    """The state_dict in a file: of clnet (safetensors), or of PyTorch, alone or in a Lightning checkpoint."""
    if not path.endswith(".safetensors"):
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key.removeprefix("model."): value for key, value in state.get("state_dict", state).items()}
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
    state = {}
    for key, entry in header.items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            state[key] = torch.frombuffer(data[begin:end], dtype=types[entry["dtype"]]).reshape(entry["shape"])
    return state


def main():
    for name in MODELS:
        print(f"{name}: {PARAMETERS[name]:,} parameters, {sum(p.numel() for p in build(name).parameters()):,} counted")
    for argument in sys.argv[1:]:
        name, _, path = argument.partition("=")
        build(name).load_state_dict(load(path), strict=True)
        print(f"{name}: {path} loads with strict=True")


if __name__ == "__main__":
    main()
