"""Convolutions and pools."""

import numpy as np
import torch
import torch.nn.functional as F
from case import apart, away, case, ints, real, single

single("AveragePool", only=["ceil", "ceil, pads that count"])
single("ConvTranspose", only=["dilated"])
single("Col2Im MaxUnpool")

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

case("Conv", {"x": real(1, 2, 4, 4), "w": real(2, 2, 3, 3)}, {"kernel_shape": [3, 3]}, F.conv2d, title="its kernel's shape said", static=["w"])
case("ConvTranspose", {"x": real(1, 2, 3, 3), "w": real(2, 2, 2, 2)}, {"kernel_shape": [2, 2], "dilations": [2, 2], "auto_pad": "VALID"}, lambda x, w: F.conv_transpose2d(x, w, dilation=2), title="dilated", static=["w"])
SAME = lambda x, filling: F.pad(x, (0, 1, 0, 1), value=filling)
case("MaxPool", {"x": apart(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_UPPER"}, lambda x: F.max_pool2d(SAME(x, -9.0), 2, 1), title="same", static=["x"])
case("MaxPool", {"x": apart(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [2, 2]}, lambda x: F.max_pool2d(x, 2, 1, dilation=2), title="dilated")
case("AveragePool", {"x": real(1, 1, 4, 4)}, {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_UPPER", "count_include_pad": 1}, lambda x: F.avg_pool2d(SAME(x, 0.0), 2, 1), title="same", static=["x"])
case("AveragePool", {"x": real(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, lambda x: F.avg_pool2d(x, 2, ceil_mode=True), title="ceil", opset=19)
case("AveragePool", {"x": real(1, 1, 6, 6)}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1}, lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), title="ceil, pads that count", opset=19)
case("AveragePool", {"x": real(1, 1, 5, 5)}, {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [2, 2]}, lambda x: (x[:, :, :3, :3] + x[:, :, :3, 2:] + x[:, :, 2:, :3] + x[:, :, 2:, 2:]) / 4, title="dilated", opset=19)
power = lambda x, **more: (F.avg_pool2d(x.square(), 2, **more) * 4).sqrt()
case("LpPool", {"x": real(1, 1, 4, 4)}, {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_UPPER"}, lambda x: power(SAME(x, 0.0), stride=1), title="same", static=["x"])
case("LpPool", {"x": real(1, 1, 4, 4)}, {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}, lambda x: power(F.pad(x, (1, 1, 1, 1)), stride=2), title="padded")

case("Col2Im", {"x": real(2, 12, 6), "size": ints(4, 5), "block": ints(2, 2)}, {"strides": [2, 2], "pads": [0, 1, 0, 0]}, lambda x, s, k: F.fold(x, (4, 6), 2, stride=2)[:, :, :, 1:], opset=18)
case("Col2Im", {"x": real(1, 8, 3), "size": ints(3, 5), "block": ints(2, 2)}, {"dilations": [2, 2]}, lambda x, s, k: F.fold(x, (3, 5), 2, dilation=2), opset=18, title="dilated")
case("Col2Im", {"x": real(2, 12, 9), "size": ints(5, 5), "block": ints(2, 2)}, {"strides": [2, 2], "pads": [1, 1, 0, 0]}, lambda x, s, k: F.fold(x, (6, 6), 2, stride=2)[:, :, 1:, 1:], opset=18, title="padded in front")
unpooled = np.array([[[[1, 6], [8, 15]]], [[[16 + 4, 16 + 3], [16 + 13, 16 + 10]]]])
case("MaxUnpool", {"x": real(2, 1, 2, 2), "i": unpooled}, {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 0]}, lambda x, i: torch.zeros(32).scatter(0, i.flatten(), x.flatten()).reshape(2, 1, 4, 4))
