"""Makes tests/autodiff/quantization.json: straight-through gradients of quantization as PyTorch's fake quantization has them.

    python3 scripts/reference/quantization.py > tests/autodiff/quantization.json

Needs torch; the project and its tests do not. Each case: x is quantized and made real again; the loss is sum(w * y).
"""

import json

import torch

torch.manual_seed(20261127)
cases = []


def case(title, dtype, low, high, scale, zero, axis=None):
    x = (torch.rand(3, 4, 2) * 6 - 3).requires_grad_(True)
    w = torch.rand(3, 4, 2) * 2 - 1
    if axis is None:
        y = torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
    else:
        y = torch.fake_quantize_per_channel_affine(x, torch.tensor(scale), torch.tensor(zero, dtype=torch.int32), axis, low, high)
    (gradient,) = torch.autograd.grad((w * y).sum(), [x])
    flat = lambda t: [float(v) for v in t.detach().reshape(-1)]
    assert 0 < (gradient == 0).sum() < gradient.numel()
    cases.append({"title": title, "dtype": dtype, "scale": scale, "zero": zero, "axis": axis, "x": flat(x), "w": flat(w), "y": flat(y), "gradient": flat(gradient)})


case("int8, one scale", "int8", -128, 127, 0.013, 3)
case("uint8, one scale", "uint8", 0, 255, 0.017, 120)
case("int8, a scale per row", "int8", -128, 127, [0.011, 0.02, 0.015], [0, -5, 7], 0)
case("int8, a scale per column", "int8", -128, 127, [0.011, 0.02, 0.015, 0.012], [0, -5, 7, 1], 1)
case("uint8, a scale per element of the last axis", "uint8", 0, 255, [0.015, 0.01], [128, 100], 2)
print(json.dumps(cases))
