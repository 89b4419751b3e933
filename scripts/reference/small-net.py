"""Writes fixtures/pytorch/small_net.onnx and small_net.safetensors: a small network as PyTorch's exporter writes it with the
README's words, data, and the losses of PyTorch's own training on them, SGD with AGR.

    python3 scripts/reference/small-net.py

Needs torch (1.13 was used) and numpy; the project and its tests do not.
"""

import json
import pathlib
import struct

import numpy
import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "pytorch"
RATE, BATCH, SAMPLES = 0.05, 8, 96


def agr(gradient):
    """g - strength |g| / sum |g| g, with strength 1; a single element stays."""
    if gradient.numel() < 2:
        return gradient
    return gradient - gradient.abs() / gradient.abs().sum() * gradient


def save(path, tensors, meta):
    header, blobs, end = {"__metadata__": {"meta": json.dumps(meta)}}, [], 0
    for name, values in tensors.items():
        blob = values.tobytes()
        kind = {"float32": "F32", "int64": "I64"}[values.dtype.name]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


torch.manual_seed(11)
net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3, padding=1),
    torch.nn.BatchNorm2d(4),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(2),
    torch.nn.Flatten(),
    torch.nn.Linear(4 * 4 * 4, 16),
    torch.nn.GELU(),
    torch.nn.Linear(16, 5),
)
images = torch.randn(SAMPLES, 1, 8, 8)
labels = (images.mean((1, 2, 3)) * 20).round().clamp(-2, 2).long() + 2

OUT.mkdir(exist_ok=True)
torch.onnx.export(
    net.train(),
    images[:BATCH],
    str(OUT / "small_net.onnx"),
    training=torch.onnx.TrainingMode.TRAINING,
    do_constant_folding=False,
    input_names=["input"],
    output_names=["logits"],
    dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
    opset_version=17,
)

# The exporter may have run the network in training mode, which moves the running statistics; losses do not depend on them.
losses = []
for start in range(0, SAMPLES, BATCH):
    loss = torch.nn.functional.cross_entropy(net(images[start : start + BATCH]), labels[start : start + BATCH])
    net.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= RATE * agr(parameter.grad)
    losses.append(loss.item())

save(
    OUT / "small_net.safetensors",
    {"input": images.numpy(), "labels": labels.numpy().astype(numpy.int64)},
    {"kind": "ce1", "lr": RATE, "bs": BATCH, "losses": losses},
)
print(losses[0], losses[-1])
