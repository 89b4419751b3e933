"""Makes the fixtures of mixed precision: small models as PyTorch 1.13 exports them, their data, and the losses of 20 steps of
plain SGD in float64, in float32, and in bfloat16 by autocast over float32 parameters, all on the CPU. For the first model also the losses
in float16 with a dynamic scale that begins too large, in numpy: products take and give float16, and the scale changes as
torch.cuda.amp.GradScaler documents it.

    python3 scripts/reference/mixed-precision.py
"""

import copy
import json
import os
import struct

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

STEPS, BATCH = 20, 8
FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "fixtures", "mixed-precision")


class Mlp(nn.Module):
    inputs = (12,)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5))

    def forward(self, x):
        return self.layers(x)


class Conv(nn.Module):
    inputs = (2, 8, 8)

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3, stride=2)
        self.head = nn.Linear(72, 5)

    def forward(self, x):
        return self.head(F.relu(self.second(F.relu(self.norm(self.first(x))))).flatten(1))


class Transformer(nn.Module):
    inputs = (6, 16)

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down, self.head = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 5)

    def forward(self, x):
        q, k, v = (part.reshape(-1, 6, 2, 8).transpose(1, 2) for part in self.qkv(self.before(x)).chunk(3, -1))
        attended = torch.softmax(q @ k.transpose(2, 3) / 8**0.5, -1) @ v
        x = x + self.out(attended.transpose(1, 2).reshape(-1, 6, 16))
        x = x + self.down(F.relu(self.up(self.after(x))))
        return self.head(x.mean(1))


def losses(model, x, labels, lr, kind):
    model = copy.deepcopy(model).train()
    if kind == "float64":
        model, x = model.double(), x.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    found = []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bfloat16"):
            scores = model(x[rows])
        loss = F.cross_entropy(scores.double() if kind == "float64" else scores.float(), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def safetensors(path, tensors, metadata):
    kinds = {"float32": "F32", "int64": "I64"}
    header, data = {"__metadata__": metadata}, b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        header[name] = {
            "dtype": kinds[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def half(array):
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def product(a, b):
    with np.errstate(invalid="ignore"):
        return half(half(a) @ half(b))


def dynamic(model, x, labels, lr, scale, interval=2000):
    """The layers of Mlp by hand."""
    held = [parameter.detach().numpy().copy() for parameter in model.parameters()]
    x, labels = x.numpy(), labels.numpy()
    found, scales, streak = [], [], 0
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        w1, b1, w2, b2, w3, b3 = held
        layer = lambda h, w, b: half(half(h) @ half(w).T + half(b))
        h1 = np.tanh(layer(x[rows], w1, b1))
        a2 = layer(h1, w2, b2)
        h2 = np.maximum(a2, 0)
        scores = layer(h2, w3, b3)
        shifted = scores - scores.max(1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        found.append(float(-logs[np.arange(BATCH), labels[rows]].mean()))
        with np.errstate(invalid="ignore", over="ignore"):
            g3 = half((np.exp(logs) - np.eye(5, dtype=np.float32)[labels[rows]]) * np.float32(scale / BATCH))
            g2 = half(product(g3, w3) * (a2 > 0))
            g1 = half(product(g2, w2) * (1 - h1 * h1))
            gradients = [product(g1.T, x[rows]), half(g1.sum(0)), product(g2.T, h1), half(g2.sum(0))]
            gradients += [product(g3.T, h2), half(g3.sum(0))]
        if all(np.isfinite(gradient).all() for gradient in gradients):
            held = [w - np.float32(lr) * (g / np.float32(scale)) for w, g in zip(held, gradients)]
            streak += 1
            if streak == interval:
                scale, streak = scale * 2, 0
        else:
            scale, streak = scale / 2, 0
        scales.append(scale)
    return {"losses": found, "scales": scales}


for name, kind, lr in (("mlp", Mlp, 0.2), ("conv", Conv, 0.05), ("transformer", Transformer, 0.1)):
    torch.manual_seed(5)
    model = kind()
    x = torch.randn(STEPS * BATCH, *kind.inputs)
    labels = (x.flatten(1) @ torch.randn(x[0].numel(), 5)).argmax(1)
    torch.onnx.export(
        model.train(),
        x[:BATCH],
        os.path.join(FOLDER, f"{name}.onnx"),
        opset_version=14,
        input_names=["x"],
        output_names=["scores"],
        dynamic_axes={"x": {0: "batch"}, "scores": {0: "batch"}},
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
    )
    every = {each: losses(model, x, labels, lr, each) for each in ("float64", "float32", "bfloat16")}
    meta = {"lr": str(lr), "batch": str(BATCH), "losses": json.dumps(every)}
    if name == "mlp":
        meta["dynamic"] = json.dumps(dynamic(model, x, labels, lr, 2.0**24))
        print(meta["dynamic"])
    safetensors(os.path.join(FOLDER, f"{name}.safetensors"), {"x": x.numpy(), "labels": labels.numpy()}, meta)
    for other in ("float32", "bfloat16"):
        apart = max(abs(a - b) / b for a, b in zip(every[other], every["float64"]))
        print(name, other, apart, every[other][0], every[other][-1])
