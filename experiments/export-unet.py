#!/usr/bin/env python3
"""Exports the U-Net that predicts the noise in an image (Ho et al. 2020, made small), freshly initialized (PyTorch 1.13).

    python3 experiments/export-unet.py
"""
import math
import pathlib

import torch
from torch import nn

STEPS, WIDTH, TIMES = 200, 16, 32


class Residual(nn.Module):
    """Two 3x3 convolutions with group normalization, the time added between them, and a way around."""

    def __init__(self, before, width):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, before), nn.GroupNorm(4, width)
        self.conv1 = nn.Conv2d(before, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(TIMES, width)
        self.around = nn.Identity() if before == width else nn.Conv2d(before, width, 1)

    def forward(self, x, time):
        y = self.conv1(nn.functional.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        return self.around(x) + self.conv2(nn.functional.silu(self.norm2(y)))


class UNet(nn.Module):
    """28x28 pixels as 14x14 places of four channels, and 7x7 below. The noise that it gives is a share of what it was given, which is nearly all noise at
    late steps, and a share of what its layers say: so they need not copy the noise."""

    def __init__(self):
        super().__init__()
        rates = torch.exp(-math.log(10000) * torch.arange(TIMES // 2) / (TIMES // 2))
        angles = torch.arange(STEPS)[:, None] * rates
        self.register_buffer("times", torch.cat([angles.sin(), angles.cos()], 1))
        kept = torch.cumprod(1 - torch.linspace(5e-4, 0.1, STEPS, dtype=torch.float64), 0)
        self.register_buffer("shares", torch.stack([kept.sqrt(), (1 - kept).sqrt()], 1).float())
        self.time = nn.Sequential(nn.Linear(TIMES, TIMES), nn.SiLU())
        self.begin = nn.Conv2d(4, WIDTH, 3, padding=1)
        self.down = Residual(WIDTH, WIDTH)
        self.halve = nn.Conv2d(WIDTH, 2 * WIDTH, 3, 2, 1)
        self.middle = Residual(2 * WIDTH, 2 * WIDTH)
        self.widen = nn.ConvTranspose2d(2 * WIDTH, WIDTH, 2, 2)
        self.up = Residual(2 * WIDTH, WIDTH)
        self.norm = nn.GroupNorm(4, WIDTH)
        self.end = nn.Conv2d(WIDTH, 4, 3, padding=1)

    def forward(self, noisy, step):
        time = self.time(self.times[step])
        x = noisy.reshape(-1, 14, 2, 14, 2).permute(0, 2, 4, 1, 3).reshape(-1, 4, 14, 14)
        x = self.down(self.begin(x), time)
        y = self.widen(self.middle(self.halve(x), time))
        y = self.up(torch.cat([x, y], 1), time)
        y = self.end(nn.functional.silu(self.norm(y)))
        y = y.reshape(-1, 2, 2, 14, 14).permute(0, 3, 1, 4, 2).reshape(-1, 1, 28, 28)
        image, noise = self.shares[step].reshape(-1, 2, 1, 1, 1).unbind(1)
        return image * y + noise * noisy


torch.manual_seed(1)
model = UNet()
path = pathlib.Path(__file__).parent / "ddpm" / "model.onnx"
torch.onnx.export(
    model,
    (torch.zeros(2, 1, 28, 28), torch.zeros(2, dtype=torch.int64)),
    str(path),
    input_names=["noisy", "step"],
    output_names=["noise"],
    dynamic_axes={"noisy": {0: "batch"}, "step": {0: "batch"}, "noise": {0: "batch"}},
    opset_version=17,
    do_constant_folding=False,
    training=torch.onnx.TrainingMode.TRAINING,
)
print(sum(p.numel() for p in model.parameters()), path.stat().st_size)
