"""Sums, norms and extremes over axes."""

import numpy as np
from case import apart, away, case, ints, real

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
