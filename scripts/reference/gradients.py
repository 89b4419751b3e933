"""Makes tests/autodiff/pytorch.json: gradients of single ONNX operators as PyTorch computes them, in float64.

    python3 scripts/reference/gradients.py > tests/autodiff/pytorch.json

Needs torch and numpy; the project and its tests do not. Each case is one node, its inputs, and random weights w for each
output: the gradients are those of sum(w * y). Inputs are kept away from kinks and ties.
"""

import json
import math

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(20240716)
cases = []


def real(*shape, low=-1.5, high=1.5):
    return rng.uniform(low, high, shape)


def apart(*shape):
    """All elements differ by 0.1 or more, so that no finite difference changes an order."""
    size = int(np.prod(shape))
    return (rng.permutation(size) * 0.13 - size * 0.065 + 0.031).reshape(shape)


def away(*shape, kinks=(0.0,), margin=0.1, low=-2.0, high=2.0):
    values = rng.uniform(low, high, shape)
    for kink in kinks:
        near = np.abs(values - kink) < margin
        values = np.where(near, kink + np.where(values < kink, -margin, margin) * 1.5, values)
    return values


def ints(*values):
    return np.array(values, dtype=np.int64)


def case(op, inputs, attrs, of, wrt=None, opset=17, domain="", title="", outputs=1, static=(), open=None, dynamic=True):
    """`of` gets torch tensors in the order of the inputs, and gives the outputs. `static`: inputs whose shapes must be known;
    `open`: the axes that may be symbols, where not all may."""
    leaves = {}
    for name, value in inputs.items():
        if value is None:
            continue
        tensor = torch.tensor(value)
        if tensor.is_floating_point() and (wrt is None or name in wrt):
            tensor.requires_grad_(True)
        leaves[name] = tensor
    made = of(*[leaves.get(name) for name in inputs])
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    made = made[:outputs]
    weights = [torch.tensor(rng.uniform(-1, 1, tuple(y.shape))) for y in made]
    loss = sum((y * w).sum() for y, w in zip(made, weights))
    asked = [name for name, tensor in leaves.items() if tensor.requires_grad]
    grads = torch.autograd.grad(loss, [leaves[name] for name in asked])
    cases.append(
        {
            "op": op,
            "title": title,
            "domain": domain,
            "opset": opset,
            "attributes": attrs,
            "inputs": [packed(name, inputs[name]) for name in inputs],
            "static": list(static),
            "open": open,
            "dynamic": dynamic,
            "outputs": [plain(y.detach().numpy()) for y in made],
            "weights": [plain(w.numpy()) for w in weights],
            "gradients": {name: plain(g.numpy()) for name, g in zip(asked, grads)},
        }
    )


def plain(array):
    return {"dims": list(array.shape), "data": [float(f"{v:.9g}") for v in np.asarray(array, dtype=np.float64).ravel()]}


def packed(name, value):
    if value is None:
        return None
    kind = {"float64": "float", "int64": "int64", "int32": "int32", "bool": "bool"}[value.dtype.name]
    data = [float(f"{v:.9g}") for v in value.ravel()] if kind == "float" else [int(v) for v in value.ravel()]
    return {"name": name, "type": kind, "dims": list(value.shape), "data": data}


def unary(op, of, value, attrs=None, **more):
    case(op, {"x": value}, attrs or {}, of, **more)


# Elementwise, one input
unary("Neg", lambda x: -x, real(2, 3))
unary("Identity", lambda x: x * 1, real(2, 3))
unary("Abs", torch.abs, away(2, 4))
unary("Reciprocal", torch.reciprocal, away(2, 4, margin=0.4))
unary("Sqrt", torch.sqrt, real(2, 3, low=0.3, high=2))
unary("Exp", torch.exp, real(2, 3))
unary("Log", torch.log, real(2, 3, low=0.3, high=2))
unary("Sin", torch.sin, real(2, 3))
unary("Cos", torch.cos, real(2, 3))
unary("Tan", torch.tan, real(2, 3, low=-1, high=1))
unary("Sinh", torch.sinh, real(2, 3))
unary("Cosh", torch.cosh, real(2, 3))
unary("Asin", torch.asin, real(2, 3, low=-0.8, high=0.8))
unary("Acos", torch.acos, real(2, 3, low=-0.8, high=0.8))
unary("Atan", torch.atan, real(2, 3))
unary("Asinh", torch.asinh, real(2, 3))
unary("Acosh", torch.acosh, real(2, 3, low=1.3, high=3))
unary("Atanh", torch.atanh, real(2, 3, low=-0.8, high=0.8))
unary("Tanh", torch.tanh, real(2, 3))
unary("Sigmoid", torch.sigmoid, real(2, 3))
unary("Erf", torch.erf, real(2, 3))
unary("Softplus", F.softplus, real(2, 3))
unary("Softsign", F.softsign, away(2, 3))
unary("Relu", torch.relu, away(2, 4))
unary("ThresholdedRelu", lambda x: F.threshold(x, 0.7, 0.0), away(2, 4, kinks=(0.7,)), {"alpha": 0.7})
unary("LeakyRelu", lambda x: F.leaky_relu(x, 0.2), away(2, 4), {"alpha": 0.2})
unary("Elu", lambda x: F.elu(x, 1.3), away(2, 4), {"alpha": 1.3})
unary("Selu", F.selu, away(2, 4))
unary("Celu", lambda x: F.celu(x, 0.7), away(2, 4), {"alpha": 0.7})
unary("HardSigmoid", lambda x: torch.clamp(0.3 * x + 0.4, 0, 1), away(2, 5, kinks=(-4 / 3, 2.0), low=-3, high=3), {"alpha": 0.3, "beta": 0.4})
unary("HardSwish", F.hardswish, away(2, 5, kinks=(-3.0, 3.0), low=-5, high=5))
unary("Mish", F.mish, real(2, 4), opset=18)
unary("Gelu", F.gelu, real(2, 4), opset=20)
unary("Gelu", lambda x: F.gelu(x, approximate="tanh"), real(2, 4), {"approximate": "tanh"}, opset=20, title="tanh")
unary("Swish", lambda x: x * torch.sigmoid(1.5 * x), real(2, 4), {"alpha": 1.5}, opset=24)
unary("Gelu", F.gelu, real(2, 4), domain="com.microsoft", title="com.microsoft")
unary("QuickGelu", lambda x: x * torch.sigmoid(1.702 * x), real(2, 4), domain="com.microsoft")
case("FastGelu", {"x": real(2, 4), "b": real(4)}, {}, lambda x, b: F.gelu(x + b, approximate="tanh"), domain="com.microsoft")
case("BiasGelu", {"x": real(2, 4), "b": real(4)}, {}, lambda x, b: F.gelu(x + b), domain="com.microsoft")
case("Clip", {"x": away(2, 5, kinks=(-0.5, 0.8)), "low": np.array(-0.5), "high": np.array(0.8)}, {}, lambda x, a, b: torch.clamp(x, -0.5, 0.8), wrt=["x"])
case("Clip", {"x": away(2, 5, kinks=(0.8,)), "low": None, "high": np.array(0.8)}, {}, lambda x, a, b: torch.clamp(x, max=0.8), wrt=["x"], title="upper bound alone")
unary("Cast", lambda x: x * 1, real(2, 3), {"to": 1})
case("CastLike", {"x": real(2, 3), "like": real(1)}, {}, lambda x, l: x * 1, wrt=["x"])
case("Dropout", {"x": real(2, 3), "ratio": np.array(0.4)}, {}, lambda x, r: x * 1, wrt=["x"], title="outside training")

# Elementwise, broadcasting
for op, of, right in [
    ("Add", torch.add, real(3, 1)),
    ("Sub", torch.sub, real(4)),
    ("Mul", torch.mul, real(2, 1, 4)),
    ("Div", torch.div, away(1, 4, margin=0.5)),
]:
    case(op, {"a": real(2, 3, 4), "b": right}, {}, of)
case("Mul", {"a": real(), "b": real(2, 3)}, {}, torch.mul, title="by a scalar")
case("Pow", {"x": real(2, 3, low=0.3, high=2), "p": real(3)}, {}, torch.pow)
case("Pow", {"x": real(2, 3), "p": np.array(2.0)}, {}, lambda x, p: x**2, wrt=["x"], title="squares of either sign")
case("Max", {"a": apart(2, 3), "b": real(1, 3), "c": np.array(0.01)}, {}, lambda a, b, c: torch.maximum(torch.maximum(a, b), c))
case("Min", {"a": apart(2, 3), "b": real(2, 1)}, {}, torch.minimum)
case("Sum", {"a": real(2, 3), "b": real(3), "c": real(2, 1)}, {}, lambda a, b, c: a + b + c)
case("Mean", {"a": real(2, 3), "b": real(3), "c": real(2, 1)}, {}, lambda a, b, c: (a + b + c) / 3)
case("Where", {"c": np.array([[True], [False]]), "a": real(2, 3), "b": real(3)}, {}, torch.where)
case("PRelu", {"x": away(2, 3, 4), "s": real(3, 1)}, {}, lambda x, s: torch.where(x > 0, x, x * s))

# Matrix products
case("MatMul", {"a": real(3, 4), "b": real(4, 2)}, {}, torch.matmul)
case("MatMul", {"a": real(2, 3, 4), "b": real(4, 2)}, {}, torch.matmul, title="a batch by one matrix")
case("MatMul", {"a": real(2, 1, 3, 4), "b": real(3, 4, 2)}, {}, torch.matmul, title="broadcast batches")
case("MatMul", {"a": real(4), "b": real(4, 2)}, {}, torch.matmul, title="a row")
case("MatMul", {"a": real(2, 3, 4), "b": real(4)}, {}, torch.matmul, title="a column")
case("MatMul", {"a": real(4), "b": real(4)}, {}, torch.matmul, title="two vectors")
for ta in (0, 1):
    for tb in (0, 1):
        case(
            "Gemm",
            {"a": real(*((4, 3) if ta else (3, 4))), "b": real(*((2, 4) if tb else (4, 2))), "c": real(1, 2) if ta else real(2)},
            {"transA": ta, "transB": tb, "alpha": 0.7, "beta": 1.3},
            lambda a, b, c, ta=ta, tb=tb: 0.7 * (a.T if ta else a) @ (b.T if tb else b) + 1.3 * c,
            title=f"transA {ta}, transB {tb}",
        )
case("Einsum", {"a": real(2, 3, 4), "b": real(2, 4, 5)}, {"equation": "bij,bjk->bik"}, lambda a, b: torch.einsum("bij,bjk->bik", a, b))
case("Einsum", {"a": real(2, 3), "b": real(3, 4)}, {"equation": "ij,jk->k"}, lambda a, b: torch.einsum("ij,jk->k", a, b), title="with what one operand alone sums away")
case("Einsum", {"a": real(2, 3, 4)}, {"equation": "ijk->kj"}, lambda a: torch.einsum("ijk->kj", a), title="one operand")
case("Einsum", {"a": real(2, 3, 4), "b": real(2, 4, 5)}, {"equation": "...ij,...jk->...ik"}, torch.matmul, title="ellipsis")

# Reductions
REDUCTIONS = {
    "ReduceSum": (lambda x, d, k: x.sum(d, keepdim=k), real),
    "ReduceMean": (lambda x, d, k: x.mean(d, keepdim=k), real),
    "ReduceMax": (lambda x, d, k: x.amax(d, keepdim=k), apart),
    "ReduceMin": (lambda x, d, k: x.amin(d, keepdim=k), apart),
    "ReduceL1": (lambda x, d, k: x.abs().sum(d, keepdim=k), away),
    "ReduceL2": (lambda x, d, k: x.square().sum(d, keepdim=k).sqrt(), real),
    "ReduceSumSquare": (lambda x, d, k: x.square().sum(d, keepdim=k), real),
    "ReduceLogSum": (lambda x, d, k: x.sum(d, keepdim=k).log(), lambda *s: real(*s, low=0.3)),
    "ReduceLogSumExp": (lambda x, d, k: x.logsumexp(d, keepdim=k), real),
}
for op, (of, make) in REDUCTIONS.items():
    case(op, {"x": make(2, 3, 4), "axes": ints(1, -1)}, {"keepdims": 0}, lambda x, a, of=of: of(x, (1, 2), False), opset=18)
    case(op, {"x": make(2, 3, 4), "axes": ints(0)}, {"keepdims": 1}, lambda x, a, of=of: of(x, (0,), True), opset=18, title="axis kept")
    case(op, {"x": make(2, 3)}, {"keepdims": 0}, lambda x, of=of: of(x, (0, 1), False), opset=18, title="all axes")
case("ReduceMean", {"x": real(2, 3, 4)}, {"axes": [1], "keepdims": 0}, lambda x: x.mean(1), opset=17, title="axes as an attribute")
case("ReduceProd", {"x": away(2, 3), "axes": ints(1)}, {"keepdims": 0}, lambda x, a: x.prod(1), opset=18)
zeros = np.array([[1.5, 0.0, 2.0], [0.0, 0.0, 3.0], [0.5, -1.5, 2.0]])
case("ReduceProd", {"x": zeros, "axes": ints(1)}, {"keepdims": 1}, lambda x, a: x.prod(1, keepdim=True), opset=18, title="zeros among the factors")
case("CumSum", {"x": real(2, 4), "axis": np.array(1)}, {}, lambda x, a: x.cumsum(1))
case("CumSum", {"x": real(2, 4), "axis": np.array(1)}, {"exclusive": 1, "reverse": 1}, lambda x, a: x.flip(1).cumsum(1).flip(1) - x, title="exclusive, reverse")

# Arranging
case("Reshape", {"x": real(2, 3, 4), "shape": ints(0, -1)}, {}, lambda x, s: x.reshape(2, 12))
case("Flatten", {"x": real(2, 3, 4)}, {"axis": 2}, lambda x: x.reshape(6, 4))
case("Squeeze", {"x": real(2, 1, 3), "axes": ints(1)}, {}, lambda x, a: x.squeeze(1))
case("Unsqueeze", {"x": real(2, 3), "axes": ints(0, -1)}, {}, lambda x, a: x[None, :, :, None])
case("Transpose", {"x": real(2, 3, 4)}, {"perm": [2, 0, 1]}, lambda x: x.permute(2, 0, 1))
case("Transpose", {"x": real(2, 3, 4)}, {}, lambda x: x.permute(2, 1, 0), title="reversed")
case("Expand", {"x": real(3, 1), "shape": ints(2, 3, 4)}, {}, lambda x, s: x.expand(2, 3, 4))
case("Tile", {"x": real(2, 3), "repeats": ints(2, 3)}, {}, lambda x, r: x.repeat(2, 3))
case("Concat", {"a": real(2, 3), "b": real(2, 1), "c": real(2, 2)}, {"axis": -1}, lambda a, b, c: torch.cat([a, b, c], 1))
case("Split", {"x": real(5, 2), "split": ints(2, 3)}, {"axis": 0}, lambda x, s: x.split([2, 3]), outputs=2)
case("Split", {"x": real(4, 2)}, {"axis": 0}, lambda x: x.split(2), outputs=2, title="in equal parts")
case("Slice", {"x": real(4, 5), "starts": ints(1, 0), "ends": ints(3, 4), "axes": ints(0, 1)}, {}, lambda x, *_: x[1:3, 0:4])
case("Slice", {"x": real(4, 5), "starts": ints(-2), "ends": ints(9223372036854775807), "axes": ints(1)}, {}, lambda x, *_: x[:, -2:], title="from the end")
case("Slice", {"x": real(4, 5), "starts": ints(0), "ends": ints(5), "axes": ints(1), "steps": ints(2)}, {}, lambda x, *_: x[:, 0:5:2], title="with steps")
case("Slice", {"x": real(4, 5), "starts": ints(4), "ends": ints(-6), "axes": ints(1), "steps": ints(-1)}, {}, lambda x, *_: x.flip(1), title="backwards")
case("Pad", {"x": real(2, 3), "pads": ints(0, 1, 1, 2)}, {}, lambda x, p: F.pad(x, (1, 2, 0, 1)))
case("Pad", {"x": real(2, 4), "pads": ints(0, 2, 0, 1)}, {"mode": "reflect"}, lambda x, p: F.pad(x[None], (2, 1), mode="reflect")[0], title="reflect")
case("Pad", {"x": real(2, 3), "pads": ints(0, 2, 0, 1)}, {"mode": "edge"}, lambda x, p: F.pad(x[None], (2, 1), mode="replicate")[0], title="edge")
case("Gather", {"x": real(5, 3), "indices": ints(0, 4, 0, -1)}, {}, lambda x, i: x[i])
case("Gather", {"x": real(2, 5, 3), "indices": np.array([[1, 3], [3, 0]])}, {"axis": 1}, lambda x, i: x[:, i], title="inner axis, repeated")
case("Gather", {"x": real(2, 5, 3), "indices": np.array(2)}, {"axis": 1}, lambda x, i: x[:, 2], title="one")
case("GatherElements", {"x": real(3, 4), "indices": np.array([[0, 2, 2], [1, 1, 3]])}, {"axis": 1}, lambda x, i: x[:2].gather(1, i))
case("GatherND", {"x": real(3, 4, 2), "indices": np.array([[0, 1], [2, 3], [0, 1]])}, {}, lambda x, i: x[i[:, 0], i[:, 1]])
case("GatherND", {"x": real(2, 4, 2), "indices": np.array([[1], [3]])}, {"batch_dims": 1}, lambda x, i: torch.stack([x[0, 1], x[1, 3]]), title="batches")
case("ScatterElements", {"x": real(3, 3), "i": np.array([[0, 2], [1, 0]]), "u": real(2, 2)}, {"axis": 1}, lambda x, i, u: torch.cat([x[:2].scatter(1, i, u), x[2:]]))
case("ScatterElements", {"x": real(3), "i": ints(1, 1, 0), "u": real(3)}, {"reduction": "add"}, lambda x, i, u: x.scatter_add(0, i, u), title="added", opset=18)
case("ScatterND", {"x": real(4, 2), "i": np.array([[1], [3]]), "u": real(2, 2)}, {}, lambda x, i, u: x.index_put((i[:, 0],), u))
case("ScatterND", {"x": real(4, 2), "i": np.array([[1], [1]]), "u": real(2, 2)}, {"reduction": "add"}, lambda x, i, u: x.index_put((i[:, 0],), u, accumulate=True), title="added", opset=18)
case("TopK", {"x": apart(2, 5), "k": ints(3)}, {"axis": 1}, lambda x, k: x.topk(3, 1)[0])
case("DepthToSpace", {"x": real(1, 8, 2, 3)}, {"blocksize": 2}, lambda x: x.reshape(1, 2, 2, 2, 2, 3).permute(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6))
case("DepthToSpace", {"x": real(1, 8, 2, 3)}, {"blocksize": 2, "mode": "CRD"}, lambda x: F.pixel_shuffle(x, 2), title="CRD")
case("SpaceToDepth", {"x": real(1, 2, 4, 6)}, {"blocksize": 2}, lambda x: x.reshape(1, 2, 2, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3))
case("Trilu", {"x": real(3, 4), "k": np.array(1)}, {"upper": 1}, lambda x, k: x.triu(1))
case("Trilu", {"x": real(3, 4)}, {"upper": 0}, lambda x: x.tril(), title="lower")
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
case("Resize", {"x": real(1, 2, 2, 3), "roi": None, "scales": np.array([1.0, 1.0, 2.0, 2.0])}, NEAREST, lambda x, r, s: F.interpolate(x, scale_factor=2, mode="nearest"), wrt=["x"], title="nearest")
case("Resize", {"x": real(1, 2, 3, 4), "roi": None, "scales": None, "sizes": ints(1, 2, 5, 6)}, {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, lambda x, *_: F.interpolate(x, size=(5, 6), mode="bilinear", align_corners=False), title="linear, to sizes")
case("Resize", {"x": real(1, 1, 3, 4), "roi": None, "scales": None, "sizes": ints(1, 1, 5, 7)}, {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, lambda x, *_: F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=True), title="linear, corners aligned")

# Convolutions and pools
def conv(title, x, w, attrs, of, bias=True, **more):
    inputs = {"x": x, "w": w}
    if bias:
        inputs["b"] = real(w.shape[0])
    case("Conv", inputs, attrs, of, title=title, static=["w"], **more)


conv("1-D", real(2, 2, 6), real(3, 2, 3), {"pads": [1, 1]}, lambda x, w, b: F.conv1d(x, w, b, padding=1))
conv("2-D, few channels", real(2, 2, 5, 5), real(3, 2, 3, 3), {}, F.conv2d)
conv("2-D, strides and pads", real(2, 5, 6, 7), real(3, 5, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}, lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1))
conv("2-D, dilations", real(1, 4, 7, 7), real(2, 4, 3, 3), {"dilations": [2, 2]}, lambda x, w, b: F.conv2d(x, w, b, dilation=2))
conv("2-D, groups", real(2, 4, 5, 5), real(6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}, lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=2))
conv("2-D, depthwise with strides", real(2, 3, 6, 6), real(3, 1, 3, 3), {"group": 3, "strides": [2, 2], "pads": [1, 1, 1, 1]}, lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1, groups=3))
conv("2-D, one pixel", real(2, 4, 3, 3), real(5, 4, 1, 1), {}, F.conv2d)
conv("2-D, patches", real(2, 3, 8, 8), real(4, 3, 4, 4), {"strides": [4, 4]}, lambda x, w, b: F.conv2d(x, w, b, stride=4))
conv("2-D, pads that differ", real(1, 2, 4, 5), real(2, 2, 2, 3), {"pads": [1, 0, 0, 2]}, lambda x, w, b: F.conv2d(F.pad(x, (0, 2, 1, 0)), w, b))
conv("2-D, auto_pad", real(1, 2, 5, 6), real(2, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, lambda x, w, b: F.conv2d(F.pad(x, (0, 1, 1, 1)), w, b, stride=2), dynamic=False)
case("Conv", {"x": real(1, 2, 3, 4, 4), "w": real(2, 2, 2, 2, 2)}, {}, F.conv3d, title="3-D", static=["w"])
conv("2-D, a large kernel", real(1, 2, 9, 9), real(2, 2, 8, 8), {}, F.conv2d)
for title, w, attrs, of in [
    ("", real(3, 2, 3, 3), {}, lambda x, w, b: F.conv_transpose2d(x, w, b)),
    ("strides, pads, extra", real(3, 2, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1)),
]:
    case("ConvTranspose", {"x": real(2, 3, 4, 4), "w": w, "b": real(2)}, attrs, of, title=title, static=["w"])
case("ConvTranspose", {"x": real(1, 4, 3, 3), "w": real(4, 2, 2, 2), "b": real(4)}, {"group": 2, "strides": [2, 2]}, lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, groups=2), title="groups", static=["w"])
case("MaxPool", {"x": apart(1, 2, 4, 4)}, {"kernel_shape": [2, 2], "strides": [2, 2]}, lambda x: F.max_pool2d(x, 2))
case("MaxPool", {"x": apart(1, 2, 5, 5)}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, lambda x: F.max_pool2d(x, 3, 2, 1), title="overlapping")
case("MaxPool", {"x": apart(1, 2, 7)}, {"kernel_shape": [3], "strides": [1]}, lambda x: F.max_pool1d(x, 3, 1), title="1-D")
case("MaxPool", {"x": apart(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, lambda x: F.max_pool2d(x, 2, ceil_mode=True), title="past the end")
case("AveragePool", {"x": real(1, 2, 4, 4)}, {"kernel_shape": [2, 2], "strides": [2, 2]}, lambda x: F.avg_pool2d(x, 2))
case("AveragePool", {"x": real(1, 2, 5, 5)}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), title="pads that do not count")
case("AveragePool", {"x": real(1, 2, 5, 5)}, {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1], "count_include_pad": 1}, lambda x: F.avg_pool2d(x, 3, 1, 1), title="pads that count")
case("GlobalAveragePool", {"x": real(2, 3, 4, 2)}, {}, lambda x: x.mean((2, 3), keepdim=True))
case("GlobalMaxPool", {"x": apart(2, 2, 2, 3)}, {}, lambda x: x.amax((2, 3), keepdim=True))
case("GlobalLpPool", {"x": real(2, 2, 2, 3)}, {"p": 2}, lambda x: x.square().sum((2, 3), keepdim=True).sqrt())
case("LpPool", {"x": real(1, 2, 4, 4)}, {"kernel_shape": [2, 2], "strides": [2, 2], "p": 2}, lambda x: (F.avg_pool2d(x.square(), 2) * 4).sqrt())
case("LpPool", {"x": away(1, 1, 5, 5)}, {"kernel_shape": [3, 3], "strides": [2, 2], "p": 3}, lambda x: (F.avg_pool2d(x.abs() ** 3, 3, 2) * 9) ** (1 / 3), title="p 3, overlapping")

# Normalization
case("LayerNormalization", {"x": real(2, 3, 4), "s": real(4), "b": real(4)}, {"axis": -1, "epsilon": 1e-5}, lambda x, s, b: F.layer_norm(x, (4,), s, b))
case("LayerNormalization", {"x": real(2, 3, 4), "s": real(3, 4)}, {"axis": 1}, lambda x, s: F.layer_norm(x, (3, 4), s, None), title="two axes, no bias")
rms = lambda x, s: x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * s
case("RMSNormalization", {"x": real(2, 3, 4), "s": real(4)}, {"axis": -1, "epsilon": 1e-5}, rms, opset=23)
case("SimplifiedLayerNormalization", {"x": real(2, 3, 4), "s": real(4)}, {"axis": -1, "epsilon": 1e-5}, rms)
case("SkipLayerNormalization", {"x": real(2, 3, 4), "skip": real(2, 3, 4), "s": real(4), "b": real(4), "bias": real(4)}, {"epsilon": 1e-5}, lambda x, k, s, b, c: F.layer_norm(x + k + c, (4,), s, b), domain="com.microsoft")
case("BatchNormalization", {"x": real(3, 2, 2, 2), "s": real(2), "b": real(2), "m": real(2), "v": real(2, low=0.5, high=2)}, {"epsilon": 1e-5}, lambda x, s, b, m, v: F.batch_norm(x, m, v, s, b), wrt=["x", "s", "b"], title="running statistics")
case("BatchNormalization", {"x": real(4, 2, 3), "s": real(2), "b": real(2), "m": real(2), "v": real(2, low=0.5, high=2)}, {"epsilon": 1e-5, "training_mode": 1}, lambda x, s, b, m, v: F.batch_norm(x, None, None, s, b, training=True), wrt=["x", "s", "b"], title="statistics of the batch", outputs=1)
case("InstanceNormalization", {"x": real(2, 3, 4), "s": real(3), "b": real(3)}, {"epsilon": 1e-5}, lambda x, s, b: F.instance_norm(x, weight=s, bias=b))
case("GroupNormalization", {"x": real(2, 4, 3), "s": real(4), "b": real(4)}, {"num_groups": 2, "epsilon": 1e-5, "stash_type": 1}, lambda x, s, b: F.group_norm(x, 2, s, b), opset=21)
case("GroupNormalization", {"x": real(2, 4, 3), "s": real(2), "b": real(2)}, {"num_groups": 2, "epsilon": 1e-5}, lambda x, s, b: F.group_norm(x, 2, s.repeat_interleave(2), b.repeat_interleave(2)), opset=18, title="a scale per group")
case("LpNormalization", {"x": away(2, 4)}, {"axis": 1, "p": 2}, lambda x: F.normalize(x, 2, 1))
case("LpNormalization", {"x": away(2, 4)}, {"axis": 0, "p": 1}, lambda x: F.normalize(x, 1, 0), title="p 1")

# Softmax and losses
case("Softmax", {"x": real(2, 3, 4)}, {"axis": 1}, lambda x: x.softmax(1))
case("LogSoftmax", {"x": real(2, 3, 4)}, {"axis": -1}, lambda x: x.log_softmax(-1))
SCORES = lambda *shape: {"x": real(*shape), "t": rng.integers(0, shape[1], (shape[0], *shape[2:]))}
case("SoftmaxCrossEntropyLoss", SCORES(4, 3), {"reduction": "mean"}, lambda x, t: F.cross_entropy(x, t))
case("SoftmaxCrossEntropyLoss", SCORES(2, 3, 4), {"reduction": "sum"}, lambda x, t: F.cross_entropy(x, t, reduction="sum"), title="more axes, sum")
weighted = {**SCORES(4, 3), "w": real(3, low=0.2)}
case("SoftmaxCrossEntropyLoss", weighted, {"reduction": "mean", "ignore_index": 1}, lambda x, t, w: F.cross_entropy(x, t, w, ignore_index=1), wrt=["x"], title="weights, labels that do not count")
case("SoftmaxCrossEntropyLoss", SCORES(4, 3), {"reduction": "none"}, lambda x, t: F.cross_entropy(x, t, reduction="none"), title="each by itself")
case("SoftmaxCrossEntropyLoss", SCORES(4, 3), {"reduction": "mean"}, lambda x, t: (F.cross_entropy(x, t), x.log_softmax(1)), outputs=2, title="with the log-probabilities")
case("NegativeLogLikelihoodLoss", SCORES(4, 3), {"reduction": "mean"}, lambda x, t: F.nll_loss(x, t))
case("NegativeLogLikelihoodLoss", {**SCORES(2, 3, 4), "w": real(3, low=0.2)}, {"reduction": "mean", "ignore_index": 0}, lambda x, t, w: F.nll_loss(x, t, w, ignore_index=0), wrt=["x"], title="weights, labels that do not count")


def attend(q, k, v, mask=None, scale=None, causal=False):
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    v = v.repeat_interleave(q.shape[1] // v.shape[1], 1)
    s = q @ k.transpose(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1]))
    if mask is not None:
        s = s + mask
    if causal:
        s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return s.softmax(-1) @ v


case("Attention", {"q": real(1, 2, 3, 4), "k": real(1, 2, 5, 4), "v": real(1, 2, 5, 3), "m": real(3, 5)}, {}, lambda q, k, v, m: attend(q, k, v, m), opset=23, open=[0, 2], static=["m"])
case("Attention", {"q": real(1, 4, 3, 4), "k": real(1, 2, 3, 4), "v": real(1, 2, 3, 4)}, {"is_causal": 1, "scale": 0.6}, lambda q, k, v: attend(q, k, v, scale=0.6, causal=True), opset=23, title="causal, grouped heads", open=[0, 2])
heads = lambda t, n: t.reshape(t.shape[0], t.shape[1], n, -1).transpose(1, 2)
case("Attention", {"q": real(2, 3, 8), "k": real(2, 3, 8), "v": real(2, 3, 8)}, {"q_num_heads": 2, "kv_num_heads": 2}, lambda q, k, v: attend(heads(q, 2), heads(k, 2), heads(v, 2)).transpose(1, 2).reshape(2, 3, 8), opset=23, title="three axes", open=[0, 1])


def recurrent(op, gates, order, run, title, bidirectional=False, reverse=False, attrs=None):
    """`order`: ONNX's gates among PyTorch's."""
    T, N, I, H = 4, 2, 3, 2
    D = 2 if bidirectional else 1
    pick = lambda t: torch.cat([t[g * H : (g + 1) * H] for g in order])
    inputs = {"x": real(T, N, I), "w": real(D, gates * H, I), "r": real(D, gates * H, H), "b": real(D, 2 * gates * H), "lens": None, "h": real(D, N, H)}
    if op == "LSTM":
        inputs["c"] = real(D, N, H)

    def of(x, w, r, b, lens, h, c=None):
        back = np.argsort(order)
        unpick = lambda t: torch.cat([t[g * H : (g + 1) * H] for g in back])
        flat = []
        for d in range(D):
            flat += [unpick(w[d]), unpick(r[d]), unpick(b[d][: gates * H]), unpick(b[d][gates * H :])]
        given = x.flip(0) if reverse else x
        y, *last = run(given, (h, c) if op == "LSTM" else h, flat, True, 1, 0.0, False, bidirectional, False)
        y = y.flip(0) if reverse else y
        y = y.reshape(T, N, D, H).permute(0, 2, 1, 3)
        return (y, *last)

    direction = "bidirectional" if bidirectional else "reverse" if reverse else "forward"
    case(op, inputs, {"hidden_size": H, "direction": direction, **(attrs or {})}, of, title=title, outputs=3 if op == "LSTM" else 2, open=[0, 1], static=["w", "r", "b", "h", "c"], opset=17)


for title, more in [("", {}), ("backwards", {"reverse": True}), ("both ways", {"bidirectional": True})]:
    recurrent("LSTM", 4, [0, 3, 1, 2], torch._VF.lstm, title, **more)
    recurrent("GRU", 3, [1, 0, 2], torch._VF.gru, title, attrs={"linear_before_reset": 1}, **more)
    recurrent("RNN", 1, [0], torch._VF.rnn_tanh, title, **more)

# Attributes beside those above
unary("Selu", lambda x: 1.2 * torch.where(x > 0, x, 1.5 * (x.exp() - 1)), away(2, 4), {"alpha": 1.5, "gamma": 1.2}, title="own numbers")
for op, of, make in [
    ("ReduceL1", lambda x, d, k: x.abs().sum(d, keepdim=k), lambda *s: away(*s)),
    ("ReduceL2", lambda x, d, k: x.square().sum(d, keepdim=k).sqrt(), real),
    ("ReduceLogSum", lambda x, d, k: x.sum(d, keepdim=k).log(), lambda *s: real(*s, low=0.3)),
    ("ReduceLogSumExp", lambda x, d, k: x.logsumexp(d, keepdim=k), real),
    ("ReduceMax", lambda x, d, k: x.amax(d, keepdim=k), apart),
    ("ReduceMean", lambda x, d, k: x.mean(d, keepdim=k), real),
    ("ReduceMin", lambda x, d, k: x.amin(d, keepdim=k), apart),
    ("ReduceProd", lambda x, d, k: x.prod(d[0], keepdim=k), away),
    ("ReduceSumSquare", lambda x, d, k: x.square().sum(d, keepdim=k), real),
]:
    case(op, {"x": make(2, 3)}, {"axes": [-1], "keepdims": 0}, lambda x, of=of: of(x, (1,), False), opset=17, title="the axis is an attribute")
    case(op, {"x": make(2, 3), "axes": ints(1)}, {"noop_with_empty_axes": 1}, lambda x, a, of=of: of(x, (1,), True), opset=18, title="no axes would be none")
case("ReduceSum", {"x": real(2, 3)}, {"noop_with_empty_axes": 1}, lambda x: x * 1, title="no axes are none")


def smooth(out, size):
    """The matrix [out, size] of a linear resize with antialias, where the edge stands for what lies outside (half_pixel). PyTorch's leaves that out."""
    matrix = np.zeros((out, size))
    for to in range(out):
        at = (to + 0.5) * size / out - 0.5
        for source in range(-size, 2 * size):
            matrix[to, min(max(source, 0), size - 1)] += max(0, 1 - abs(source - at) * out / size)
    return torch.tensor(matrix / matrix.sum(1, keepdims=True))


case("Resize", {"x": real(1, 1, 7, 6), "roi": None, "scales": None, "sizes": ints(1, 1, 3, 4)}, {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "antialias": 1}, lambda x, *_: smooth(3, 7) @ x @ smooth(4, 6).T, title="antialias", opset=18)
case("Resize", {"x": real(1, 1, 3, 4), "roi": None, "scales": None, "sizes": ints(1, 1, 5, 6)}, {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel", "cubic_coeff_a": -0.75}, lambda x, *_: F.interpolate(x, size=(5, 6), mode="bicubic", align_corners=False), title="cubic")


def cubic(out, size, a=-0.5):
    """The matrix [out, size] of a cubic resize that leaves out what lies outside (half_pixel)."""
    matrix = np.zeros((out, size))
    for to in range(out):
        at = (to + 0.5) * size / out - 0.5
        for source in range(math.floor(at) - 1, math.floor(at) + 3):
            d = abs(at - source)
            w = (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0
            if 0 <= source < size:
                matrix[to, source] += w
    return torch.tensor(matrix / matrix.sum(1, keepdims=True))


case("Resize", {"x": real(1, 1, 3, 4), "roi": None, "scales": None, "sizes": ints(1, 1, 5, 6)}, {"mode": "cubic", "coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.5, "exclude_outside": 1}, lambda x, *_: cubic(5, 3) @ x @ cubic(6, 4).T, title="cubic, nothing from outside")
case("Conv", {"x": real(1, 2, 4, 4), "w": real(2, 2, 3, 3)}, {"kernel_shape": [3, 3]}, F.conv2d, title="its kernel's shape said", static=["w"])
case("ConvTranspose", {"x": real(1, 2, 3, 3), "w": real(2, 2, 2, 2)}, {"kernel_shape": [2, 2], "dilations": [2, 2], "auto_pad": "VALID"}, lambda x, w: F.conv_transpose2d(x, w, dilation=2), title="dilated", static=["w"])
SAME = lambda x, filling: F.pad(x, (0, 1, 0, 1), value=filling)
case("MaxPool", {"x": apart(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_UPPER"}, lambda x: F.max_pool2d(SAME(x, -9.0), 2, 1), title="same", static=["x"])
case("MaxPool", {"x": apart(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [2, 2]}, lambda x: F.max_pool2d(x, 2, 1, dilation=2), title="dilated")
case("AveragePool", {"x": real(1, 1, 4, 4)}, {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_UPPER", "count_include_pad": 1}, lambda x: F.avg_pool2d(SAME(x, 0.0), 2, 1), title="same", static=["x"])
case("AveragePool", {"x": real(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, lambda x: F.avg_pool2d(x, 2, ceil_mode=True), title="ceil", opset=19)
case("AveragePool", {"x": real(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [2, 2]}, lambda x: (x[:, :, :3, :3] + x[:, :, :3, 2:] + x[:, :, 2:, :3] + x[:, :, 2:, 2:]) / 4, title="dilated", opset=19)
power = lambda x, **more: (F.avg_pool2d(x.square(), 2, **more) * 4).sqrt()
case("LpPool", {"x": real(1, 1, 4, 4)}, {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_UPPER"}, lambda x: power(SAME(x, 0.0), stride=1), title="same", static=["x"])
case("LpPool", {"x": real(1, 1, 4, 4)}, {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}, lambda x: power(F.pad(x, (1, 1, 1, 1)), stride=2), title="padded")
for op, gates, order, run, names in [
    ("LSTM", 4, [0, 3, 1, 2], torch._VF.lstm, ["Sigmoid", "Tanh", "Tanh"]),
    ("GRU", 3, [1, 0, 2], torch._VF.gru, ["Sigmoid", "Tanh"]),
    ("RNN", 1, [0], torch._VF.rnn_tanh, ["Tanh"]),
]:
    recurrent(op, gates, order, run, "its activations said", attrs={"activations": names, **({"linear_before_reset": 1} if op == "GRU" else {})})

unary("Shrink", lambda x: torch.where(x.abs() > 0.7, x - 0.3 * x.sign(), 0 * x), away(2, 5, kinks=(-0.7, 0.7)), {"lambd": 0.7, "bias": 0.3})
case("Mod", {"a": away(2, 5, kinks=(-1.4, -0.7, 0.0, 0.7, 1.4), margin=0.05), "b": np.array([0.7, -0.7, 0.7, -0.7, 0.7])}, {"fmod": 1}, torch.fmod)
for size in [3, 5]:
    def response(x, size=size):
        square = F.pad(x.square(), (0, 0, 0, 0, (size - 1) // 2, size // 2))
        total = sum(square[:, i : i + x.shape[1]] for i in range(size))
        return x / (0.9 + 0.3 / size * total) ** 0.6
    unary("LRN", response, real(2, 5, 2, 3), {"alpha": 0.3, "beta": 0.6, "bias": 0.9, "size": size}, title=f"size {size}")
unary("Det", torch.linalg.det, real(2, 2, 3, 3), static=["x"])
unary("Det", torch.linalg.det, real(3, 1, 1), static=["x"], title="1 x 1")
for mode in ["bilinear", "nearest"]:
    for padding in ["zeros", "border"]:
        for align in [0, 1]:
            image, grid = real(2, 3, 4, 5), away(2, 3, 2, 2, kinks=(0.0,), low=-1.3, high=1.3)
            step = np.array([5, 4]) / 2 if not align else np.array([4, 3]) / 2
            offset = (np.array([4, 3]) / 2) if not align else np.array([4, 3]) / 2
            position = (grid * step + offset) * 2
            grid = np.where(np.abs(position - np.round(position)) < 0.1, grid + 0.12 / step, grid)
            attrs = {"mode": mode, "padding_mode": padding, "align_corners": align}
            sample = lambda x, g, m=mode, p=padding, a=align: F.grid_sample(x, g, mode=m, padding_mode=p, align_corners=bool(a))
            case("GridSample", {"x": image, "grid": grid}, attrs, sample, title=f"{mode}, {padding}, corners {align}", wrt=["x", "grid"] if mode == "bilinear" else ["x"])
case("GridSample", {"x": real(1, 2, 3, 3), "grid": away(1, 2, 2, 2, margin=0.1, low=-0.6, high=0.6)}, {"mode": "linear"}, lambda x, g: F.grid_sample(x, g, align_corners=False), opset=20, title="linear")
indices = np.array([[0, 2, 0], [1, 1, 2]], dtype=np.int64)
for name, reduction in [("max", "amax"), ("min", "amin"), ("mul", "prod")]:
    data, updates = apart(3, 3), apart(2, 3) + 0.05
    of = lambda d, i, u, r=reduction: d.scatter_reduce(0, i, u, r)
    case("ScatterElements", {"d": data, "i": indices, "u": updates}, {"axis": 0, "reduction": name}, of, opset=18, title=name)
    flat = lambda d, i, u, r=reduction: d.scatter_reduce(0, i.expand(4, 3), u, r)
    case("ScatterND", {"d": apart(3, 3), "i": np.array([[0], [2], [0], [0]], dtype=np.int64), "u": apart(4, 3) + 0.05}, {"reduction": name}, flat, opset=18, title=name)
case("ScatterElements", {"d": real(3, 3), "i": indices, "u": np.array([[0.0, 1.5, 2.0], [0.0, 0.0, 0.7]])}, {"axis": 0, "reduction": "mul"}, lambda d, i, u: d.scatter_reduce(0, i, u, "prod"), opset=18, title="mul with zeros")
case("FusedMatMul", {"a": real(2, 4, 3), "b": real(5, 4)}, {"alpha": 0.5, "transA": 1, "transB": 1}, lambda a, b: 0.5 * a.transpose(-1, -2) @ b.T, domain="com.microsoft", title="transposed")
case("FusedMatMul", {"a": real(3, 4), "b": real(2, 4, 5)}, {"alpha": 2.0}, lambda a, b: 2 * a @ b, domain="com.microsoft", title="plain")

# Operators that are made of others
def whole(*values):
    return np.array(values, dtype=np.int32)



def weigh(q, k, v, scale=None, cap=0, add=None, keep=None):
    """Attention over heads: scores are scaled, capped, masked."""
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    s = q @ k.transpose(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1]))
    s = cap * torch.tanh(s / cap) if cap else s
    s = s if add is None else s + add
    s = s if keep is None else s.masked_fill(~keep, -math.inf)
    return s.softmax(-1) @ v


def seen(queries, keys, past=0, window=None):
    at = torch.arange(queries)[:, None] + past
    keep = torch.arange(keys)[None] <= at
    return keep if window is None else keep & (at - torch.arange(keys)[None] <= window)


flat = lambda y: y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
case("Attention", {"q": real(2, 2, 3, 4), "k": real(2, 2, 5, 4), "v": real(2, 2, 5, 4), "m": np.array([[True, True, False, True, False]] * 3)}, {"softcap": 0.8}, lambda q, k, v, m: weigh(q, k, v, cap=0.8, keep=m), opset=23, title="soft cap, mask of booleans", open=[0, 2])
case("Attention", {"q": real(1, 2, 3, 4), "k": real(1, 2, 3, 4), "v": real(1, 2, 3, 4), "m": real(3, 3)}, {"softcap": 0.8}, lambda q, k, v, m: weigh(q, k, v, cap=0.8, add=m), opset=23, title="soft cap, mask of numbers", open=[0, 2], static=["m"])
cat = lambda a, b: torch.cat([a, b], 2)
for stage in range(4):
    def staged(q, k, v, m, pk, pv, stage=stage):
        s = q @ cat(pk, k).transpose(-1, -2) / 2
        capped = 0.9 * torch.tanh(s / 0.9)
        masked = (capped + m).masked_fill(~seen(3, 5, 2), -1e30)
        weights = masked.softmax(-1)
        return (weights @ cat(pv, v), cat(pk, k), cat(pv, v), *([[s, capped, None, weights][stage]] if stage != 2 else []))

    case("Attention", {"q": real(1, 2, 3, 4), "k": real(1, 2, 3, 4), "v": real(1, 2, 3, 4), "m": real(3, 5), "pk": real(1, 2, 2, 4), "pv": real(1, 2, 2, 4)}, {"is_causal": 1, "softcap": 0.9, "qk_matmul_output_mode": stage}, staged, opset=23, title=f"past, scores of stage {stage}", open=[0], static=["m"], outputs=3 if stage == 2 else 4)
case("Attention", {"q": real(2, 3, 8), "k": real(2, 4, 4), "v": real(2, 4, 4)}, {"q_num_heads": 4, "kv_num_heads": 2}, lambda q, k, v: flat(weigh(heads(q, 4), heads(k, 2), heads(v, 2))), opset=23, title="three axes, grouped heads", open=[0, 1])

case("MultiHeadAttention", {"q": real(2, 3, 8), "k": real(2, 5, 8), "v": real(2, 5, 8), "b": real(24)}, {"num_heads": 2}, lambda q, k, v, b: flat(weigh(heads(q + b[:8], 2), heads(k + b[8:16], 2), heads(v + b[16:], 2))), domain="com.microsoft", open=[0, 1], static=["b"])
mask = whole([1, 1, 1, 0, 0], [1, 1, 1, 1, 0])
case("MultiHeadAttention", {"q": real(2, 3, 8), "k": real(2, 5, 8), "v": real(2, 5, 8), "b": None, "m": mask, "a": real(1, 2, 3, 5)}, {"num_heads": 2, "mask_filter_value": -2.0, "scale": 0.3}, lambda q, k, v, b, m, a: flat(weigh(heads(q, 2), heads(k, 2), heads(v, 2), 0.3, add=-2.0 * (m == 0)[:, None, None] + a)), domain="com.microsoft", title="padding, bias of the scores", open=[1], static=["a", "k"])
case("MultiHeadAttention", {"q": real(2, 3, 8), "k": real(2, 3, 8), "v": real(2, 3, 8), "b": None, "m": None, "a": None, "pk": real(2, 2, 2, 4), "pv": real(2, 2, 2, 4)}, {"num_heads": 2, "unidirectional": 1}, lambda q, k, v, b, m, a, pk, pv: (flat(weigh(heads(q, 2), cat(pk, heads(k, 2)), cat(pv, heads(v, 2)), keep=seen(3, 5, 2))), cat(pk, heads(k, 2)), cat(pv, heads(v, 2))), domain="com.microsoft", title="causal, past", outputs=3, open=[1])
case("MultiHeadAttention", {"q": real(2, 3, 8), "k": real(2, 2, 5, 4), "v": real(2, 2, 5, 4)}, {"num_heads": 2}, lambda q, k, v: flat(weigh(heads(q, 2), k, v)), domain="com.microsoft", title="keys cut into heads", open=[0])

projected = lambda x, w, b, n=2: [heads(part, n) for part in (x @ w + b).split(x.shape[-1], 2)]
case("Attention", {"x": real(2, 3, 6), "w": real(6, 18), "b": real(18)}, {"num_heads": 2}, lambda x, w, b: flat(weigh(*projected(x, w, b))), domain="com.microsoft", open=[0, 1], static=["w", "b"])
case("Attention", {"x": real(2, 3, 6), "w": real(6, 18), "b": real(18), "m": whole(2, 3)}, {"num_heads": 2, "scale": 0.4, "mask_filter_value": -3.0}, lambda x, w, b, m: flat(weigh(*projected(x, w, b), 0.4, add=-3.0 * (torch.arange(3)[None] >= m[:, None])[:, None, None])), domain="com.microsoft", title="lengths", open=[1], static=["w", "b"])
case("Attention", {"x": real(2, 3, 6), "w": real(6, 18), "b": real(18), "m": mask[:, :3] * whole([1, 0, 1], [1, 1, 1])}, {"num_heads": 2, "unidirectional": 1}, lambda x, w, b, m: flat(weigh(*projected(x, w, b), add=-10000.0 * (m == 0)[:, None, None], keep=seen(3, 3))), domain="com.microsoft", title="causal, padding", open=[0, 1], static=["w", "b"])
case("Attention", {"x": real(2, 3, 6), "w": real(6, 16), "b": real(16), "m": None, "p": None, "a": real(1, 2, 3, 3)}, {"num_heads": 2, "qkv_hidden_sizes": [4, 4, 8]}, lambda x, w, b, m, p, a: flat(weigh(*[heads(t, 2) for t in (x @ w + b).split([4, 4, 8], 2)], add=a)), domain="com.microsoft", title="widths of its own, bias of the scores", open=[0], static=["w", "b", "a"])
def with_past(x, w, b, m, p):
    q, k, v = projected(x, w, b)
    k, v = cat(p[0], k), cat(p[1], v)
    return flat(weigh(q, k, v, keep=seen(3, 5, 2))), torch.stack([k, v])
case("Attention", {"x": real(2, 3, 6), "w": real(6, 18), "b": real(18), "m": None, "p": real(2, 2, 2, 2, 3)}, {"num_heads": 2, "unidirectional": 1}, with_past, domain="com.microsoft", title="past", outputs=2, open=[0], static=["w", "b", "p"])


def turn(x, cos, sin, interleaved=False, width=None):
    """[batch, heads, length, width], tables [length or batch, ..., pairs] that broadcast."""
    part, rest = x[..., : width or x.shape[-1]], x[..., width or x.shape[-1] :]
    a, b = (part[..., 0::2], part[..., 1::2]) if interleaved else part.chunk(2, -1)
    first, second = cos * a - sin * b, sin * a + cos * b
    turned = torch.stack([first, second], -1).flatten(-2) if interleaved else torch.cat([first, second], -1)
    return torch.cat([turned, rest], -1)


tables = lambda *shape: {"cos": real(*shape), "sin": real(*shape)}
places = np.array([[0, 2, 1], [4, 3, 2]])
case("RotaryEmbedding", {"x": real(2, 2, 3, 4), **tables(5, 2), "at": places}, {}, lambda x, c, s, at: turn(x, c[at][:, None], s[at][:, None]), opset=23, static=["cos", "sin"])
case("RotaryEmbedding", {"x": real(2, 3, 8), **tables(2, 3, 2)}, {"num_heads": 2, "interleaved": 1}, lambda x, c, s: flat(turn(heads(x, 2), c[:, None], s[:, None], True)), opset=23, title="three axes, neighbours, tables by place", open=[0, 1])
case("RotaryEmbedding", {"x": real(2, 2, 3, 6), **tables(5, 2), "at": places}, {"rotary_embedding_dim": 4}, lambda x, c, s, at: turn(x, c[at][:, None], s[at][:, None], width=4), opset=23, title="a part of each head", static=["cos", "sin"])
case("RotaryEmbedding", {"x": real(2, 3, 8), "at": places, **tables(5, 2)}, {"interleaved": 1}, lambda x, at, c, s: flat(turn(heads(x, 2), c[at][:, None], s[at][:, None], True)), domain="com.microsoft", title="neighbours", static=["cos", "sin"], open=[0, 1])
case("RotaryEmbedding", {"x": real(2, 2, 3, 4), "at": ints(1), **tables(5, 2)}, {}, lambda x, at, c, s: turn(x, c[1:4], s[1:4]), domain="com.microsoft", title="the first position", static=["cos", "sin"])
case("RotaryEmbedding", {"x": real(2, 3, 12), "at": places, **tables(5, 2)}, {"num_heads": 2, "rotary_embedding_dim": 4}, lambda x, at, c, s: flat(turn(heads(x, 2), c[at][:, None], s[at][:, None], width=4)), domain="com.microsoft", title="a part of each head", static=["cos", "sin"], open=[0, 1])

size = lambda n: np.array(n, dtype=np.int32)
case("GroupQueryAttention", {"q": real(2, 3, 32), "k": real(2, 3, 16), "v": real(2, 3, 16), "pk": None, "pv": None, "lens": whole(2, 2), "total": size(3)}, {"num_heads": 4, "kv_num_heads": 2, "softcap": 0.7}, lambda q, k, v, pk, pv, n, t: flat(weigh(heads(q, 4), heads(k, 2), heads(v, 2), cap=0.7, keep=seen(3, 3))), domain="com.microsoft", title="soft cap", open=[0, 1], outputs=1)
def rotated_heads(q, k, v, pk, pv, n, t, c, s):
    return flat(weigh(turn(heads(q, 4), c[:3], s[:3], True), turn(heads(k, 2), c[:3], s[:3], True), heads(v, 2), 0.4, keep=seen(3, 3)))
case("GroupQueryAttention", {"q": real(1, 3, 64), "k": real(1, 3, 32), "v": real(1, 3, 32), "pk": None, "pv": None, "lens": whole(2), "total": size(3), **tables(4, 8)}, {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "rotary_interleaved": 1, "scale": 0.4}, rotated_heads, wrt=["q", "k", "v"], domain="com.microsoft", title="rotary, neighbours", open=[0, 1])
case("GroupQueryAttention", {"q": real(1, 3, 64), "k": None, "v": None, "pk": None, "pv": None, "lens": whole(2), "total": size(3), **tables(4, 8)}, {"num_heads": 2, "kv_num_heads": 1, "do_rotary": 1}, lambda q, k, v, pk, pv, n, t, c, s: flat(weigh(turn(heads(q, 4)[:, :2], c[:3], s[:3]), turn(heads(q, 4)[:, 2:3], c[:3], s[:3]), heads(q, 4)[:, 3:], keep=seen(3, 3))), wrt=["q"], domain="com.microsoft", title="packed, rotary", open=[0, 1])
def later(q, k, v, pk, pv, n, t):
    """Two samples with 2 and 3 keys before; places behind the last key are zeros."""
    def present(p, h):
        return torch.stack([F.pad(torch.cat([p[b, :, :r], h[b]], 1), (0, 0, 0, 3 - r)) for b, r in enumerate([2, 3])])
    k, v = present(pk, heads(k, 2)), present(pv, heads(v, 2))
    keep = torch.tensor([[True, True, True, False], [True] * 4])[:, None, None]
    return flat(weigh(heads(q, 2), k, v, keep=keep)), k, v
case("GroupQueryAttention", {"q": real(2, 1, 16), "k": real(2, 1, 16), "v": real(2, 1, 16), "pk": real(2, 2, 3, 8), "pv": real(2, 2, 3, 8), "lens": whole(2, 3), "total": size(4)}, {"num_heads": 2, "kv_num_heads": 2}, later, domain="com.microsoft", title="past, lengths that differ", outputs=3)
case("GroupQueryAttention", {"q": real(1, 6, 16), "k": real(1, 6, 16), "v": real(1, 6, 16), "pk": None, "pv": None, "lens": whole(5), "total": size(6)}, {"num_heads": 2, "kv_num_heads": 2, "local_window_size": 2}, lambda q, k, v, pk, pv, n, t: flat(weigh(heads(q, 2), heads(k, 2), heads(v, 2), keep=seen(6, 6, window=1))), domain="com.microsoft", title="window", open=[1])

fused = lambda of, **more: {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "activation": of, **more}
images = lambda: {"x": real(1, 2, 4, 4), "w": real(3, 2, 3, 3), "b": real(3)}
convolved = lambda x, w, b: F.conv2d(x, w, b, padding=1)
case("FusedConv", images(), fused("Tanh"), lambda x, w, b: convolved(x, w, b).tanh(), domain="com.microsoft", title="tanh", static=["w"])
case("FusedConv", images(), fused("Sigmoid"), lambda x, w, b: convolved(x, w, b).sigmoid(), domain="com.microsoft", title="sigmoid", static=["w"])
case("FusedConv", {**images(), "z": real(1, 3, 4, 4)}, fused("Relu"), lambda x, w, b, z: (convolved(x, w, b) + z).relu(), domain="com.microsoft", title="a sum, relu", static=["w"])
case("FusedConv", images(), fused("LeakyRelu", activation_params=[0.2]), lambda x, w, b: F.leaky_relu(convolved(x, w, b), 0.2), domain="com.microsoft", title="leaky relu", static=["w"])
case("FusedConv", images(), fused("Clip", activation_params=[-0.7, 0.9]), lambda x, w, b: convolved(x, w, b).clamp(-0.7, 0.9), domain="com.microsoft", title="clip", static=["w"])
case("FusedConv", images(), fused("HardSigmoid", activation_params=[0.3, 0.4]), lambda x, w, b: (0.3 * convolved(x, w, b) + 0.4).clamp(0, 1), domain="com.microsoft", title="hard sigmoid", static=["w"])
case("FusedConv", {"x": real(1, 4, 7, 7), "w": real(2, 2, 3, 3)}, {"group": 2, "strides": [2, 2], "dilations": [2, 2], "auto_pad": "VALID"}, lambda x, w: F.conv2d(x, w, stride=2, dilation=2, groups=2), domain="com.microsoft", title="groups, no activation", static=["w"])
case("FusedGemm", {"a": real(4, 3), "b": real(2, 4), "c": real(2)}, {"transA": 1, "transB": 1, "alpha": 0.7, "beta": 1.3, "activation": "LeakyRelu", "activation_alpha": 0.2}, lambda a, b, c: F.leaky_relu(0.7 * a.T @ b.T + 1.3 * c, 0.2), domain="com.microsoft", title="leaky relu")
case("FusedGemm", {"a": real(3, 4), "b": real(4, 2)}, {"activation": "HardSigmoid", "activation_alpha": 0.3, "activation_beta": 0.4}, lambda a, b: (0.3 * a @ b + 0.4).clamp(0, 1), domain="com.microsoft", title="hard sigmoid")
last = lambda y: y.permute(0, 2, 3, 1)
first = lambda y: y.permute(0, 3, 1, 2)
case("NhwcConv", {"x": real(2, 5, 5, 4), "w": real(6, 3, 3, 2), "b": real(6)}, {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 2], "dilations": [1, 1], "kernel_shape": [3, 3]}, lambda x, w, b: last(F.conv2d(first(x), first(w), b, padding=1, stride=2, groups=2)), domain="com.microsoft", static=["w"])
case("NhwcConv", {"x": real(1, 3, 4, 2), "w": real(3, 2, 2, 2)}, {"auto_pad": "VALID"}, lambda x, w: last(F.conv2d(first(x), first(w))), domain="com.microsoft", title="auto_pad", static=["w"])
root = lambda x, s, e=1e-12: x / (x.square().mean(-1, keepdim=True) + e).sqrt() * s
case("SkipSimplifiedLayerNormalization", {"x": real(2, 3, 4), "skip": real(2, 3, 4), "s": real(4)}, {"epsilon": 0.1}, lambda x, k, s: root(x + k, s, 0.1), domain="com.microsoft")
case("SkipSimplifiedLayerNormalization", {"x": real(2, 3, 4), "skip": real(2, 3, 4), "s": real(4), "b": real(4)}, {}, lambda x, k, s, b: root(x + k + b, s), domain="com.microsoft", title="bias")
tokens = whole([0, 3, 1], [2, 2, 4])
case("EmbedLayerNormalization", {"ids": tokens, "seg": whole([0, 0, 1], [1, 0, 1]), "word": real(5, 4), "place": real(6, 4), "part": real(2, 4), "s": real(4), "b": real(4)}, {"epsilon": 0.01, "mask_index_type": 0}, lambda i, g, w, p, q, s, b: F.layer_norm(w[i.long()] + p[:3] + q[g.long()], (4,), s, b, 0.01), domain="com.microsoft")
case("EmbedLayerNormalization", {"ids": tokens, "seg": None, "word": real(5, 4), "place": real(6, 4), "part": None, "s": real(4), "b": real(4), "m": None, "at": whole([1, 0, 2], [5, 4, 3])}, {}, lambda i, g, w, p, q, s, b, m, at: F.layer_norm(w[i.long()] + p[at.long()], (4,), s, b, 1e-12), domain="com.microsoft", title="positions, no segments")

def sum_of(equation, *operands, title, **more):
    """numpy and PyTorch have the same equations as ONNX, but for spaces."""
    case("Einsum", dict(zip("abcd", operands)), {"equation": equation}, lambda *t: torch.einsum(equation.replace(" ", ""), *t), title=title, **more)


sum_of("ii->i", real(3, 3), title="a diagonal")
sum_of("ii", real(3, 3), title="a trace")
sum_of("bii->bi", real(2, 3, 3), title="diagonals of a batch")
sum_of("iji,jk->ik", real(3, 2, 3), real(2, 4), title="a diagonal in a product")
sum_of("ij, jk, kl -> il", real(2, 3), real(3, 4), real(4, 2), title="three operands, spaces")
sum_of("bi,bj,b->ij", real(3, 2), real(3, 4), real(3), title="three operands, an outer product")
sum_of("ij,jk,k", real(2, 3), real(3, 4), real(4), title="three operands, no arrow")
sum_of("...ij,jk->...ik", real(2, 3, 4), real(4, 5), title="ellipsis of one operand")
sum_of("...ij,...jk->...ik", real(2, 1, 3, 4), real(1, 5, 4, 2), title="ellipsis that broadcasts")
sum_of("...i->...", real(2, 3, 4), title="ellipsis, summed")
sum_of("i...->...i", real(2, 3, 4), title="ellipsis in the middle")
sum_of("bhqd,bhkd->bhqk", real(1, 2, 3, 4), real(1, 2, 5, 4), title="scores of attention")

case("ReverseSequence", {"x": real(4, 3, 2), "n": ints(2, 4, 1)}, {"time_axis": 0, "batch_axis": 1}, lambda x, n: torch.stack([torch.cat([x[: n[i], i].flip(0), x[n[i] :, i]]) for i in range(3)], 1))
case("ReverseSequence", {"x": real(2, 3), "n": ints(3, 2)}, {"time_axis": 1, "batch_axis": 0}, lambda x, n: torch.stack([torch.cat([x[i, : n[i]].flip(0), x[i, n[i] :]]) for i in range(2)]), title="time second")
MAKERS = {"Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Relu": torch.relu, "HardSigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1), "Softsign": F.softsign, "Softplus": F.softplus}


def cell(op, x, h, c, w, r, b, p, acts, clip, coupled, linear):
    """One step of one direction, as ONNX has it."""
    H = h.shape[-1]
    act = lambda at, v: MAKERS[acts[at]](v.clamp(-clip, clip) if clip else v)
    wb, rb = b[: b.shape[0] // 2], b[b.shape[0] // 2 :]
    if op == "RNN":
        return act(0, x @ w.T + h @ r.T + wb + rb), None
    if op == "LSTM":
        i, o, f, g = (x @ w.T + h @ r.T + wb + rb).split(H, -1)
        pi, po, pf = p.split(H) if p is not None else (0, 0, 0)
        i = act(0, i + pi * c)
        f = 1 - i if coupled else act(0, f + pf * c)
        c = f * c + i * act(1, g)
        return act(0, o + po * c) * MAKERS[acts[2]](c), c
    (xz, xr, xh), (rz, rr, rh), (bz, br, bh) = (x @ w.T + wb).split(H, -1), r.split(H), rb.split(H)
    z, reset = act(0, xz + h @ rz.T + bz), act(0, xr + h @ rr.T + br)
    n = act(1, xh + (reset * (h @ rh.T + bh) if linear else (reset * h) @ rh.T + bh))
    return (1 - z) * n + z * h, None


def layer(op, title, lens=None, direction="forward", acts=None, clip=0, coupled=0, linear=0, peep=False, initial=True, open=(0, 1)):
    T, N, I, H, D = 4, 3, 2, 2, 2 if direction == "bidirectional" else 1
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    inputs = {"x": real(T, N, I), "w": real(D, gates * H, I), "r": real(D, gates * H, H), "b": real(D, 2 * gates * H), "lens": None if lens is None else whole(*lens), "h": real(D, N, H) if initial else None}
    if op == "LSTM":
        inputs["c"] = real(D, N, H) if initial else None
        if peep:
            inputs["p"] = real(D, 3 * H)
    names = acts or {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[op] * D
    per = len(names) // D

    def of(x, w, r, b, n, h0=None, c0=None, p=None):
        every, lasts, cells = [], [], []
        for d in range(D):
            back = direction == "reverse" or d == 1
            ys, last, end = [[None] * N for _ in range(T)], [], []
            for k in range(N):
                count = T if n is None else int(n[k])
                h = h0[d, k] if h0 is not None else torch.zeros(H)
                c = c0[d, k] if c0 is not None else torch.zeros(H)
                for t in reversed(range(count)) if back else range(count):
                    h, c = cell(op, x[t, k], h, c, w[d], r[d], b[d], None if p is None else p[d], names[d * per : (d + 1) * per], clip, coupled, linear)
                    ys[t][k] = h
                for t in range(count, T):
                    ys[t][k] = torch.zeros(H)
                last.append(h)
                end.append(c)
            every.append(torch.stack([torch.stack(row) for row in ys]))
            lasts.append(torch.stack(last))
            cells.append(torch.stack(end) if op == "LSTM" else None)
        return (torch.stack(every, 1), torch.stack(lasts), *([torch.stack(cells)] if op == "LSTM" else []))

    attrs = {"hidden_size": H, "direction": direction}
    attrs |= {"activations": names} if acts else {}
    attrs |= {"clip": clip} if clip else {}
    attrs |= {"input_forget": 1} if coupled else {}
    attrs |= {"linear_before_reset": 1} if linear else {}
    case(op, inputs, attrs, of, title=title, outputs=3 if op == "LSTM" else 2, open=list(open), static=["w", "r", "b", "h", "c", "p"])


LENGTHS = (2, 4, 1)
for op in ["LSTM", "GRU", "RNN"]:
    layer(op, "lengths", lens=LENGTHS)
    layer(op, "lengths, backwards", lens=LENGTHS, direction="reverse")
    layer(op, "lengths, both ways, no initial states", lens=LENGTHS, direction="bidirectional", initial=False)
    layer(op, "clipped", clip=0.5)
layer("LSTM", "peepholes", peep=True)
layer("LSTM", "peepholes, lengths, both ways", peep=True, lens=LENGTHS, direction="bidirectional")
layer("LSTM", "coupled gates", coupled=1)
layer("LSTM", "other activations", acts=["HardSigmoid", "Softsign", "Softplus"])
layer("GRU", "other activations, linear before reset", acts=["HardSigmoid", "Softplus"], linear=1)
layer("RNN", "other activations, both ways", acts=["Relu", "Softsign"], direction="bidirectional")

print(json.dumps(cases, separators=(",", ":")).replace('},{"op"', '},\n{"op"'))
