"""Operators that make, cut, join and rearrange tensors."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from case import apart, case, ints, real


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
case("Pad", {"x": real(2, 4), "pads": ints(1, -1, -1, 2)}, {}, lambda x, p: F.pad(x, (-1, 2, 1, -1)), title="cut at one end")
case("Pad", {"x": real(2, 4), "pads": ints(1, -1), "value": np.array(0.5), "axes": ints(1)}, {}, lambda x, p, v, a: F.pad(x, (1, -1), value=0.5), wrt=("x",), title="shifted along one axis", opset=18)
case("Pad", {"x": real(2, 3), "pads": ints(0, 1, 1, 2), "value": np.array(0.5)}, {}, lambda x, p, v: torch.where(F.pad(torch.ones(2, 3), (1, 2, 0, 1)) > 0, F.pad(x, (1, 2, 0, 1)), v), title="with a value that is computed")
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

indices = np.array([[0, 2, 0], [1, 1, 2]], dtype=np.int64)
for name, reduction in [("max", "amax"), ("min", "amin"), ("mul", "prod")]:
    data, updates = apart(3, 3), apart(2, 3) + 0.05
    of = lambda d, i, u, r=reduction: d.scatter_reduce(0, i, u, r)
    case("ScatterElements", {"d": data, "i": indices, "u": updates}, {"axis": 0, "reduction": name}, of, opset=18, title=name)
    flat = lambda d, i, u, r=reduction: d.scatter_reduce(0, i.expand(4, 3), u, r)
    case("ScatterND", {"d": apart(3, 3), "i": np.array([[0], [2], [0], [0]], dtype=np.int64), "u": apart(4, 3) + 0.05}, {"reduction": name}, flat, opset=18, title=name)
case("ScatterElements", {"d": real(3, 3), "i": indices, "u": np.array([[0.0, 1.5, 2.0], [0.0, 0.0, 0.7]])}, {"axis": 0, "reduction": "mul"}, lambda d, i, u: d.scatter_reduce(0, i, u, "prod"), opset=18, title="mul with zeros")

case("ReverseSequence", {"x": real(4, 3, 2), "n": ints(2, 4, 1)}, {"time_axis": 0, "batch_axis": 1}, lambda x, n: torch.stack([torch.cat([x[: n[i], i].flip(0), x[n[i] :, i]]) for i in range(3)], 1))
case("ReverseSequence", {"x": real(2, 3), "n": ints(3, 2)}, {"time_axis": 1, "batch_axis": 0}, lambda x, n: torch.stack([torch.cat([x[i, : n[i]].flip(0), x[i, n[i] :]]) for i in range(2)]), title="time second")
