"""Reference numbers for operators whose kernels run on CUDA only, from PyTorch (and ONNX's reference evaluator).

    python scripts/reference/lowerings.py > tests/passes/lower-training-ops/pytorch.json

Needs torch, numpy and onnx. Each case has the inputs and the results of one operator of ONNX Runtime's training builds.
"""

import json
import sys

import numpy as np
import torch
from torch.nn import functional as F

torch.manual_seed(0)
TYPES = {torch.float32: "float", torch.int64: "int64", torch.bool: "bool", torch.float16: "float16"}
cases = {}


def pack(value):
    value = torch.as_tensor(value)
    return {"dtype": TYPES[value.dtype], "dims": list(value.shape), "data": [plain(each) for each in value.flatten().tolist()]}


def plain(value):
    """Nine digits say a float32 exactly; JSON has no NaN and no infinity, so those are strings that JavaScript's Number reads."""
    if not isinstance(value, float):
        return value
    if value != value:
        return "NaN"
    return ("Infinity" if value > 0 else "-Infinity") if abs(value) == float("inf") else float(f"{value:.9g}")


def case(name, inputs, outputs):
    cases[name] = {
        "inputs": [None if each is None else pack(each) for each in inputs],
        "outputs": [None if each is None else pack(each) for each in outputs],
    }


def conv_transpose(name, x, w, **kwargs):
    x, w = x.requires_grad_(), w.requires_grad_()
    y = getattr(F, f"conv_transpose{x.dim() - 2}d")(x, w, **kwargs)
    dy = torch.randn_like(y)
    y.backward(dy)
    bias = dy.sum([axis for axis in range(dy.dim()) if axis != 1])
    case(name, [dy, x.detach(), w.detach()], [x.grad, w.grad, bias])


conv_transpose("ConvTransposeGrad", torch.randn(2, 4, 5, 5), torch.randn(4, 3, 3, 3), stride=2, padding=1)
conv_transpose("ConvTransposeGrad, groups", torch.randn(2, 4, 5), torch.randn(4, 2, 3), groups=2)
conv_transpose(
    "ConvTransposeGrad, output padding", torch.randn(1, 4, 4, 4), torch.randn(4, 5, 3, 3), stride=2, output_padding=1
)

for mode, kwargs in (
    ("nearest", {"mode": "nearest"}),
    ("linear", {"mode": "bilinear", "align_corners": False}),
    ("align_corners", {"mode": "bilinear", "align_corners": True}),
    ("cubic", {"mode": "bicubic", "align_corners": False}),
):
    x = torch.randn(1, 2, 4, 5, requires_grad=True)
    y = F.interpolate(x, scale_factor=2, **kwargs)
    dy = torch.randn_like(y)
    y.backward(dy)
    case(f"ResizeGrad, {mode}", [dy, x.detach(), None, torch.tensor([1.0, 1.0, 2.0, 2.0])], [x.grad])

x, y = torch.randn(2, 3), torch.randn(2, 3)
case("ScaledSum", [x, y], [0.5 * x + 2 * y])
case("BatchScale", [x], [0.5 * x, 2 * x])
odd = torch.tensor([1.0, float("nan"), float("inf"), -float("inf"), 0.0])
case("IsFinite", [odd], [torch.isfinite(odd)])
case("IsAllFinite", [x, odd], [torch.tensor(False)])
case("IsAllFinite, all are", [x, y], [torch.tensor(True)])
case("IsAllFinite, isnan_only", [torch.tensor([float("inf")])], [torch.tensor(True)])
case("IsAllFinite, isinf_only", [torch.tensor([float("nan")])], [torch.tensor(True)])
case("All", [torch.tensor([True, False])], [torch.tensor(False)])
case("MixedPrecisionScale", [torch.tensor([2.0]), x, y], [2 * x, 2 * y])
case("MixedPrecisionScale, fused", [torch.tensor([2.0]), x, y], [torch.cat([2 * x.flatten(), 2 * y.flatten()])])
case("PassThrough", [x, y], [x, y])
case("View", [torch.arange(10.0), torch.tensor([2, 2]), torch.tensor([6])], [torch.arange(4.0).reshape(2, 2), torch.arange(4.0, 10.0)])

rows, indices = torch.randn(3, 4), torch.tensor([0, 2, 5])
padded = torch.zeros(6, 4).index_copy(0, indices, rows).reshape(2, 3, 4)
case("PadAndUnflatten", [rows, indices, torch.tensor([2, 3])], [padded])
full = torch.randn(2, 3, 4)
case("FlattenAndUnpad", [full, indices], [full.reshape(6, 4)[indices], torch.tensor([2, 3])])
case("ShrunkenGather", [rows, torch.tensor([2, 0])], [rows[[2, 0]]])

bias = torch.randn(2, 1, 1, 5)
scores = torch.randn(2, 3, 4, 5)
case("BiasSoftmax", [scores, bias], [torch.softmax(scores + bias, -1)])
outer = torch.randn(3, 4, 5)
case("BiasSoftmax, outer", [scores, outer], [torch.softmax(scores + outer, -1)])

mask = torch.tensor([[True, False, True, True], [False, True, True, True]])
s = torch.randn(2, 4, requires_grad=True)
p = torch.softmax(s, -1)
dropped = p * mask / 0.7
dy = torch.randn(2, 4)
dropped.backward(dy)
case("SoftmaxDropoutGrad", [dy, mask, p.detach(), torch.tensor(0.3)], [s.grad])
case("BitmaskDropoutGrad", [dy, mask, torch.tensor(0.3)], [dy * mask / 0.7])
case("BitmaskDropout", [x, torch.tensor(0.0), torch.tensor(True)], [x, torch.ones(2, 3, dtype=torch.bool)])
b = torch.randn(3)
case("BiasDropout", [x, b, y, torch.tensor(0.0), torch.tensor(True)], [x + b + y, torch.ones(2, 3, dtype=torch.bool)])
case("BitmaskBiasDropout", [x, b, None, torch.tensor(0.0), torch.tensor(True)], [x + b, torch.ones(2, 3, dtype=torch.bool)])

data = torch.randn(2, 3, 4, requires_grad=True)
index = torch.tensor([[[0], [2]], [[1], [1]]])
picked = torch.stack([data[i][index[i, :, 0]] for i in range(2)])
dy = torch.randn_like(picked)
picked.backward(dy)
case("GatherNDGrad, batch_dims 1", [torch.tensor([2, 3, 4]), index, dy], [data.grad])
data = torch.randn(4, 3, requires_grad=True)
index = torch.tensor([[1, 0], [1, 0], [3, 2]])
dy = torch.randn(3)
data[index[:, 0], index[:, 1]].backward(dy)
case("GatherNDGrad", [torch.tensor([4, 3]), index, dy], [data.grad])

x = torch.randn(2, 3, 4, requires_grad=True)
scale, shift = torch.rand(4, requires_grad=True), torch.randn(4, requires_grad=True)
y = F.layer_norm(x, [4], scale, shift)
dy = torch.randn_like(y)
y.backward(dy)
inv = 1 / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
case(
    "InvertibleLayerNormalizationGrad",
    [dy, y.detach(), scale.detach(), shift.detach(), inv.detach()],
    [x.grad, scale.grad, shift.grad],
)

a, c = torch.randn(2, 3), torch.randn(4)
case("ReduceAllL2", [a, c], [torch.sqrt((a**2).sum() + (c**2).sum())])


def lamb(w, g, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    alpha, beta = torch.tensor(0.9), torch.tensor(0.999)
    d = 0.01 * w + (m / (1 - alpha**t)) / (torch.sqrt(v / (1 - beta**t)) + 1e-6)
    ratio = w.norm() / d.norm() if w.norm() != 0 and d.norm() != 0 else 1.0
    return w - lr * ratio * d, m, v


w, g, m, v = torch.randn(2, 3), torch.randn(2, 3), torch.randn(2, 3), torch.rand(2, 3)
zero = torch.zeros(3)
g2, m2, v2 = torch.randn(3), torch.randn(3), torch.rand(3)
first, second = lamb(w, g, m, v, 300, 0.02), lamb(zero, g2, m2, v2, 300, 0.02)
case(
    "LambOptimizer",
    [None, None, None, torch.tensor([0.02]), torch.tensor([300]), w, g, m, v, None, zero, g2, m2, v2, None],
    [torch.tensor([301]), first[0], None, first[1], first[2], None, second[0], None, second[1], second[2], None],
)

from onnx import TensorProto, helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402


def preview(name, op, states, outputs, t, **attributes):
    tensors = [torch.randn(2, 3), torch.randn(4)]
    kinds = [tensors, [torch.randn_like(each) for each in tensors]]
    kinds += [[torch.rand_like(each) for each in tensors] for _ in range(states)]
    inputs = [torch.tensor(0.1), torch.tensor(t)] + [each for kind in kinds for each in kind]
    names = [f"in{index}" for index in range(len(inputs))]
    made = [f"out{index}" for index in range(outputs)]
    node = helper.make_node(op, names, made, domain="ai.onnx.preview.training", **attributes)
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info(n, TensorProto.INT64 if i == 1 else TensorProto.FLOAT, None) for i, n in enumerate(names)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in made],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.preview.training", 1)]
    )
    results = ReferenceEvaluator(model).run(None, {n: each.numpy() for n, each in zip(names, inputs)})
    case(name, inputs, [torch.from_numpy(np.asarray(each, dtype=np.float32)) for each in results])


for t in (0, 2):
    preview(f"Adam, update {t}", "Adam", 2, 6, t, alpha=0.8, beta=0.9, norm_coefficient=0.01, norm_coefficient_post=0.02, epsilon=1e-5)
    preview(f"Adagrad, update {t}", "Adagrad", 1, 4, t, decay_factor=0.1, epsilon=1e-5, norm_coefficient=0.01)
    for mode in ("standard", "nesterov"):
        preview(f"Momentum, {mode}, update {t}", "Momentum", 1, 4, t, alpha=0.8, beta=0.5, norm_coefficient=0.01, mode=mode)

json.dump(cases, sys.stdout)
