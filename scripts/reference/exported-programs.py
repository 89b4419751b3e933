"""Writes fixtures/pytorch/exported: small models as PyTorch's exporters write them (torch.onnx.export, mostly with dynamo=True),
each with inputs, targets and PyTorch's own gradients of the mean squared error in float64, by the names of the parameters.

    python3 -P scripts/reference/exported-programs.py

Needs torch (2.13 was used), onnx and onnxscript; the project and its tests do not. -P keeps statistics.py, beside this file, from
standing in for the standard module.
"""

import json
import pathlib
import struct

import onnx
import torch
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "pytorch" / "exported"


def save(path, tensors):
    header, blobs, end = {}, [], 0
    for name, values in tensors.items():
        blob = values.contiguous().numpy().tobytes()
        kind = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}[values.dtype]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class ConvolutionOfSlices(nn.Module):
    """As Mamba reads its convolution: the weight without its axis of 1, which is put back. The bias is zero, and is dropped."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=2, groups=4)
        self.head = nn.Linear(4, 3)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        weight = self.conv.weight.squeeze(1).unsqueeze(1)
        y = F.conv1d(x, weight, self.conv.bias, padding=2, groups=4)
        return self.head(F.silu(y).transpose(1, 2))

    example = staticmethod(lambda: (torch.randn(2, 4, 5),))


class TiedInHalf(nn.Module):
    """An embedding that is the last layer, too; in float16 or bfloat16."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 6)
        self.norm = nn.LayerNorm(6)
        self.inner = nn.Linear(6, 6)
        self.head = nn.Linear(6, 9, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids):
        return self.head(self.norm(self.inner(self.table(ids))))

    example = staticmethod(lambda: (torch.randint(0, 9, (2, 4)),))


class Splits(nn.Module):
    """What is split into parts of one size and of several, and taken apart, without the exporter's optimizer."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.scale = nn.Parameter(torch.randn(2, 4))

    def forward(self, x):
        q, k, v = self.qkv(x).split(4, dim=2)
        first, rest = v.split([1, 3], dim=-1)
        a, b = self.scale.unbind(0)
        last = torch.cat([rest, first], -1).chunk(2, -1)[-1]
        return torch.cat([torch.tanh(q * a) + k * b, last], -1)

    example = staticmethod(lambda: (torch.randn(2, 3, 4),))


class Groups(nn.Module):
    """A normalization of each channel, which the exporter writes with zeros of its own, merged with a bias of zeros."""

    def __init__(self):
        super().__init__()
        self.group = nn.GroupNorm(6, 6)
        self.norm = nn.LayerNorm(6)
        nn.init.normal_(self.group.weight)
        nn.init.normal_(self.group.bias)
        nn.init.normal_(self.norm.weight)

    def forward(self, x):
        return self.norm(torch.tanh(self.group(x)).transpose(1, 2))

    example = staticmethod(lambda: (torch.randn(2, 6, 5),))


class Types(nn.Module):
    """One row of a table for all, of which two numbers are equal by chance."""

    def __init__(self):
        super().__init__()
        self.types = nn.Embedding(2, 5)
        self.scale = nn.Linear(5, 5)
        with torch.no_grad():
            self.types.weight[0, 3] = self.types.weight[0, 1]

    def forward(self, x):
        return self.scale(x + self.types(torch.zeros(x.shape[:2], dtype=torch.long)))

    example = staticmethod(lambda: (torch.randn(2, 3, 5),))


class FixedPositions(nn.Module):
    """Positions of sines and cosines, a parameter that PyTorch does not train, as Whisper has them."""

    def __init__(self):
        super().__init__()
        angles = torch.arange(6.0)[:, None] / 10 ** torch.linspace(0, 1, 3)[None]
        self.positions = nn.Embedding(6, 6)
        self.positions.weight = nn.Parameter(torch.cat([angles.sin(), angles.cos()], 1), requires_grad=False)
        self.inner = nn.Linear(4, 6)

    def forward(self, x):
        return torch.tanh(self.inner(x)) * 2 + self.positions.weight

    example = staticmethod(lambda: (torch.randn(2, 6, 4),))


class Decay(nn.Module):
    """As Mamba has its decay: layers begin with the same numbers, of which -exp and a scale are computed ahead of time."""

    def __init__(self):
        super().__init__()
        self.A_log = nn.Parameter(torch.arange(1.0, 4.0).repeat(4, 1).log())
        self.D = nn.Parameter(torch.ones(4))
        self.mix = nn.Linear(3, 3)

    def forward(self, x):
        decay = torch.exp(-self.A_log.float().exp()[None] * x.sigmoid())
        return self.mix(decay * x + self.D[None, :, None] * x)


class Decays(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Decay() for _ in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    example = staticmethod(lambda: (torch.randn(2, 4, 3),))


class ClassToken(nn.Module):
    """A token of zeros before the others, as vision transformers begin with."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.tanh(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1).cumsum(1)))

    example = staticmethod(lambda: (torch.randn(2, 3, 4),))


class Attends(nn.Module):
    """Attention with a dropout that the exporter leaves out. PyTorch's gradients are not compared: its dropout draws by chance."""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(4, 4)

    def forward(self, x):
        q, x = self.query(x)[:, None], x[:, None]
        return F.scaled_dot_product_attention(q, x, x, dropout_p=0.2)

    example = staticmethod(lambda: (torch.randn(2, 3, 4),))


class LowRank(nn.Module):
    """A layer with an adapter, by the names that PEFT gives them."""

    def __init__(self):
        super().__init__()
        self.base_layer = nn.Linear(4, 4)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(4, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, 4, bias=False)})
        for parameter in self.base_layer.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        return self.base_layer(x) + 2 * self.lora_B["default"](self.lora_A["default"](x))


class Adapted(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = LowRank()
        self.head = nn.Linear(4, 3)
        for parameter in self.head.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        return self.head(torch.tanh(self.query(x)))

    example = staticmethod(lambda: (torch.randn(5, 4),))


class FrozenBatchNorm(nn.Module):
    """The arithmetic of torchvision's FrozenBatchNorm2d, of buffers alone."""

    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x):
        weight, bias, mean, variance = (each.reshape(1, -1, 1, 1) for each in self.buffers())
        scale = weight * (variance + 1e-5).rsqrt()
        return x * scale + (bias - mean * scale)


class NormalizesBy(nn.Module):
    """Normalizes by statistics that have names of their own; scale and offset are parameters."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("center", torch.rand(channels))
        self.register_buffer("spread", torch.rand(channels) + 0.5)
        self.weight, self.bias = (nn.Parameter(torch.rand(channels)) for _ in range(2))

    def forward(self, x):
        center, spread, weight, bias = (each.reshape(1, -1, 1, 1) for each in (self.center, self.spread, self.weight, self.bias))
        return (x - center) / torch.sqrt(spread + 1e-5) * weight + bias


class FixedNorms(nn.Module):
    """A backbone with normalizations by fixed statistics, written out."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, bias=False)
        self.bn1 = FrozenBatchNorm(3)
        self.conv2 = nn.Conv2d(3, 3, 3)
        self.norm = NormalizesBy(3)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        x = torch.tanh(self.bn1(self.conv1(x)))
        return self.head(torch.tanh(self.norm(self.conv2(x))).mean((2, 3)))

    example = staticmethod(lambda: (torch.randn(3, 2, 6, 6),))


class PartlyFrozen(nn.Module):
    """A net in train mode whose first batch normalization is in eval mode, as fine-tuning has it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, bias=False), nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)
        for norm in (self.bn1, self.bn2):
            for each in (norm.weight, norm.running_var):
                each.data.copy_(torch.rand(3) + 0.5)
            for each in (norm.bias, norm.running_mean):
                each.data.copy_(torch.rand(3))

    def train(self, mode=True):
        super().train(mode)
        self.bn1.eval()
        return self

    def forward(self, x):
        x = torch.tanh(self.bn1(self.conv1(x)))
        return self.head(torch.tanh(self.bn2(self.conv2(x))).mean((2, 3)))

    example = staticmethod(lambda: (torch.randn(3, 2, 6, 6),))


class FrozenBesideDropout(PartlyFrozen):
    """All batch normalization is in eval mode. What is dropped is a share of nothing, so that numbers can be compared."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.0)

    def train(self, mode=True):
        super().train(mode)
        self.bn2.eval()
        return self

    def forward(self, x):
        return super().forward(self.drop(x))


TRACED = {"dynamo": False, "training": torch.onnx.TrainingMode.TRAINING, "do_constant_folding": False}

CASES = {
    "convolution_of_slices": (ConvolutionOfSlices, {}, None),
    "tied_float16": (TiedInHalf, {}, torch.float16),
    "tied_bfloat16": (TiedInHalf, {}, torch.bfloat16),
    "splits": (Splits, {"optimize": False}, None),
    "groups": (Groups, {}, None),
    "types": (Types, {}, None),
    "fixed_positions": (FixedPositions, {}, None),
    "decays": (Decays, {}, None),
    "class_token": (ClassToken, {}, None),
    "adapted": (Adapted, {}, None),
    "attends": (Attends, {}, None),
    "fixed_norms_traced": (FixedNorms, TRACED, None),
    "partly_frozen": (PartlyFrozen, {"optimize": False}, None),
    "partly_frozen_traced": (PartlyFrozen, TRACED, None),
    "frozen_beside_dropout_traced": (FrozenBesideDropout, TRACED, None),
}

OUT.mkdir(exist_ok=True, parents=True)
for name, (make, options, dtype) in CASES.items():
    torch.manual_seed(3)
    module = make().train()
    if dtype is not None:
        module = module.to(dtype)
    example = make.example()
    path = OUT / f"{name}.onnx"
    options = {"dynamo": True, "verbose": False, **options}
    program = torch.onnx.export(module, example, None if options["dynamo"] else path, input_names=["x"], output_names=["y"], **options)
    model = onnx.load(path) if program is None else program.model_proto
    for node in model.graph.node:
        kept = [each for each in node.metadata_props if "stack_trace" not in each.key]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(model, path)
    module = module.double()
    (x,) = example
    y = module(x.double() if x.is_floating_point() else x)
    target = torch.randn(y.shape)
    F.mse_loss(y, target.double()).backward()
    gradients = {f"grad.{key}": value.grad for key, value in module.named_parameters() if value.grad is not None}
    save(path.with_suffix(".safetensors"), {"in.x": x, "in.target": target, **gradients})
    print(name, path.stat().st_size, sorted(gradients))
