"""Images read at points of a grid, in boxes, and at offsets."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from case import away, case, ints, real, single
from torchvision.ops import deform_conv2d, roi_align

single("GridSample", only=[f"{mode}, {padding}, corners {align}" for mode in ["bilinear", "nearest"] for padding in ["zeros", "border"] for align in [0, 1]])
single("DeformConv", only=["pads that differ"])

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


BOXES = np.array([[0.53, 1.04, 7.9, 6.8], [2.1, 3.3, 9.31, 8.77], [-3.2, -2.9, 4.4, 3.1], [4.1, 4.2, 4.6, 4.9]])
OF = ints(0, 1, 1, 0)


def mean(sampling, aligned, size=(2, 3), scale=0.5):
    return lambda x, boxes, of: roi_align(x, torch.cat([of[:, None].to(boxes), boxes], 1), size, scale, sampling, aligned)


for mode, aligned in [("half_pixel", True), ("output_half_pixel", False)]:
    for sampling in [0, 2]:
        attrs = {"coordinate_transformation_mode": mode, "output_height": 2, "output_width": 3, "sampling_ratio": sampling, "spatial_scale": 0.5}
        case("RoiAlign", {"x": real(2, 3, 5, 6), "boxes": BOXES, "of": OF}, attrs, mean(sampling, aligned), title=f"mean, {mode}, samples {sampling}", wrt=["x"])
case("RoiAlign", {"x": real(2, 2, 7, 8), "boxes": BOXES * 0.8, "of": OF}, {"mode": "avg"}, mean(0, True, (1, 1), 1.0), title="mean, one cell", wrt=["x"])


def largest(sampling, half, size=(2, 3), scale=0.5):
    """The largest of weight times pixel, over the four pixels around each sample: what ONNX and its runtimes compute. PyTorch has no such mode."""

    def run(x, boxes, of):
        rows = []
        for box, image in zip(boxes.tolist(), of.tolist()):
            x1, y1, x2, y2 = [edge * scale - (0.5 if half else 0) for edge in box]
            high, wide = [d if half else max(d, 1.0) for d in (y2 - y1, x2 - x1)]
            steps = [sampling or math.ceil(d / n) for d, n in ((high, size[0]), (wide, size[1]))]
            cells = []
            for p in range(size[0]):
                for q in range(size[1]):
                    seen = []
                    for i in range(steps[0]):
                        for j in range(steps[1]):
                            y = y1 + (p + (i + 0.5) / steps[0]) * high / size[0]
                            w = x1 + (q + (j + 0.5) / steps[1]) * wide / size[1]
                            if not (-1 <= y <= x.shape[2] and -1 <= w <= x.shape[3]):
                                seen.append(torch.zeros(x.shape[1]))
                                continue
                            for row, a in around(y, x.shape[2]):
                                for column, c in around(w, x.shape[3]):
                                    seen.append(a * c * x[image, :, row, column])
                    cells.append(torch.stack(seen).amax(0))
            rows.append(torch.stack(cells, 1).reshape(x.shape[1], *size))
        return torch.stack(rows)

    return run


def around(at, size):
    at = min(max(at, 0.0), size - 1.0)
    low = math.floor(at)
    return [(low, 1 - (at - low)), (min(low + 1, size - 1), at - low)]


for mode, half in [("half_pixel", True), ("output_half_pixel", False)]:
    for sampling in [0, 2]:
        attrs = {"mode": "max", "coordinate_transformation_mode": mode, "output_height": 2, "output_width": 3, "sampling_ratio": sampling, "spatial_scale": 0.5}
        case("RoiAlign", {"x": real(2, 3, 5, 6), "boxes": BOXES, "of": OF}, attrs, largest(sampling, half), title=f"largest, {mode}, samples {sampling}", wrt=["x"])


def offsets(n, groups, places, high, wide):
    """Kept from whole numbers, where the slope changes."""
    return away(n, groups * places * 2, high, wide, kinks=(-2.0, -1.0, 0.0, 1.0, 2.0), margin=0.1, low=-1.9, high=1.9)


def deformed(stride=1, padding=0, dilation=1, pads=(0, 0, 0, 0)):
    def run(x, w, offset, b=None, mask=None):
        top, left, bottom, right = pads
        return deform_conv2d(F.pad(x, (left, right, top, bottom)), offset, w, b, stride, padding, dilation, mask)

    return run


case("DeformConv", {"x": real(2, 2, 5, 6), "w": real(3, 2, 2, 2), "offset": offsets(2, 1, 4, 4, 5)}, {}, deformed(), opset=22, open=[0, 2, 3], static=["w"])
case("DeformConv", {"x": real(1, 2, 5, 6), "w": real(3, 2, 3, 2), "offset": offsets(1, 1, 6, 3, 3), "b": real(3), "mask": real(1, 6, 3, 3, low=0.1, high=1)}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}, deformed((2, 2), (1, 0)), opset=22, title="bias, mask, strides, pads", open=[0, 2, 3], static=["w"])
case("DeformConv", {"x": real(1, 4, 6, 5), "w": real(4, 2, 2, 2), "offset": offsets(1, 2, 4, 4, 3), "b": None, "mask": real(1, 8, 4, 3, low=0.1, high=1)}, {"group": 2, "offset_group": 2, "dilations": [2, 2]}, lambda x, w, o, b, m: deformed(dilation=2)(x, w, o, None, m), opset=22, title="groups, groups of offsets, dilated", open=[0, 2, 3], static=["w"])
case("DeformConv", {"x": real(1, 4, 4, 4), "w": real(2, 4, 2, 2), "offset": offsets(1, 2, 4, 6, 5)}, {"offset_group": 2, "pads": [1, 2, 2, 0]}, deformed(pads=(1, 2, 2, 0)), opset=19, title="pads that differ", open=[0, 2, 3], static=["w"])
