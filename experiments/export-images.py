#!/usr/bin/env python3
"""Exports the image classifiers of the experiments, freshly initialized (PyTorch 1.13).

    python3 experiments/export-images.py [name ...]
    python3 experiments/export-images.py --channels 3 --size 32 --classes 100 --folder cifar convnext
"""
import argparse
import math
import pathlib

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("names", nargs="*")
parser.add_argument("--channels", type=int, default=1)
parser.add_argument("--size", type=int, default=28, help="of both sides, in pixels")
parser.add_argument("--classes", type=int, default=10)
parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(__file__).parent, help="where <name>/model.onnx goes")
given = parser.parse_args()
CHANNELS, SIZE, CLASSES = given.channels, given.size, given.classes


class Vgg(nn.Sequential):
    """Three 3x3 convolutions, each halved by pooling."""

    def __init__(self, widths=(16, 32, 64)):
        layers, before = [], CHANNELS
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            before = width
        super().__init__(*layers, nn.Flatten(), nn.Linear(before * (SIZE // 8) ** 2, CLASSES))


class Block(nn.Module):
    """Two 3x3 convolutions with batch normalization, and a way around them (He et al. 2015)."""

    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.around = nn.Identity()
        if stride != 1 or before != width:
            self.around = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.around(x))


class ResNet(nn.Module):
    """A stem of stride 2 and three blocks: ResNet-18 made small."""

    def __init__(self, widths=(16, 32, 64)):
        super().__init__()
        self.stem = nn.Conv2d(CHANNELS, widths[0], 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        before = (widths[0], *widths)
        self.blocks = nn.Sequential(
            *(Block(before[i], width, 1 if i == 0 else 2) for i, width in enumerate(widths))
        )
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, x):
        x = self.blocks(torch.relu(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        _, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(-1, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(width // self.heads), -1)
        return self.out((scores @ v).transpose(1, 2).reshape(-1, tokens, width))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """4x4 patches, three layers, mean over the tokens (Dosovitskiy et al. 2020, made small)."""

    def __init__(self, width=48, heads=3, depth=3):
        super().__init__()
        self.patches = nn.Conv2d(CHANNELS, width, SIZE // 4, SIZE // 4)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 16, width))
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.layers(x)).mean(1))


class Channels(nn.Module):
    """Layer normalization of the channels at each place."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Inverted(nn.Module):
    """A 5x5 convolution of each channel alone, then two 1x1 convolutions, the first of them four times as wide."""

    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.outer(nn.functional.gelu(self.inner(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNext(nn.Sequential):
    """A stem of 4x4 patches, two stages (Liu et al. 2022, made small)."""

    def __init__(self, widths=(24, 48)):
        first, second = widths
        super().__init__(
            nn.Conv2d(CHANNELS, first, 4, 4), Channels(first), Inverted(first), Inverted(first),
            Channels(first), nn.Conv2d(first, second, 3, 2, 1), Inverted(second), Inverted(second),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(second), nn.Linear(second, CLASSES),
        )


MODELS = {"vgg": Vgg, "resnet": ResNet, "vit": Vit, "convnext": ConvNext}

for name in given.names or MODELS:
    torch.manual_seed(1)
    model = MODELS[name]()
    path = given.folder / name / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (torch.zeros(2, CHANNELS, SIZE, SIZE),),
        str(path),
        input_names=["input"],
        output_names=["scores"],
        dynamic_axes={"input": {0: "batch"}, "scores": {0: "batch"}},
        opset_version=17,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.TRAINING,
    )
    print(name, sum(p.numel() for p in model.parameters()), path.stat().st_size)
