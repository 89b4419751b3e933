"""Normalizations."""

import torch.nn.functional as F
from case import away, case, real, unary


case("LayerNormalization", {"x": real(2, 3, 4), "s": real(4), "b": real(4)}, {"axis": -1, "epsilon": 1e-5}, lambda x, s, b: F.layer_norm(x, (4,), s, b))
case("LayerNormalization", {"x": real(2, 3, 4), "s": real(3, 4)}, {"axis": 1}, lambda x, s: F.layer_norm(x, (3, 4), s, None), title="two axes, no bias")
rms = lambda x, s: x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * s
case("RMSNormalization", {"x": real(2, 3, 4), "s": real(4)}, {"axis": -1, "epsilon": 1e-5}, rms, opset=23)
case("SimplifiedLayerNormalization", {"x": real(2, 3, 4), "s": real(4)}, {"axis": -1, "epsilon": 1e-5}, rms)
case("SkipLayerNormalization", {"x": real(2, 3, 4), "skip": real(2, 3, 4), "s": real(4), "b": real(4), "bias": real(4)}, {"epsilon": 1e-5}, lambda x, k, s, b, c: F.layer_norm(x + k + c, (4,), s, b), domain="com.microsoft")
case("BatchNormalization", {"x": real(3, 2, 2, 2), "s": real(2), "b": real(2), "m": real(2), "v": real(2, low=0.5, high=2)}, {"epsilon": 1e-5}, lambda x, s, b, m, v: F.batch_norm(x, m, v, s, b), wrt=["x", "s", "b"], title="running statistics")
case("BatchNormalization", {"x": real(3, 2, 2, 2), "s": real(2), "b": real(2), "m": real(2), "v": real(2, low=0.5, high=2)}, {"epsilon": 1e-2}, lambda x, s, b, m, v: (x - m[:, None, None]) / (v + 1e-2).sqrt()[:, None, None] * s[:, None, None] + b[:, None, None], title="statistics that the graph computes")
case("BatchNormalization", {"x": real(4, 2, 3), "s": real(2), "b": real(2), "m": real(2), "v": real(2, low=0.5, high=2)}, {"epsilon": 1e-5, "training_mode": 1}, lambda x, s, b, m, v: F.batch_norm(x, None, None, s, b, training=True), wrt=["x", "s", "b"], title="statistics of the batch", outputs=1)
case("InstanceNormalization", {"x": real(2, 3, 4), "s": real(3), "b": real(3)}, {"epsilon": 1e-5}, lambda x, s, b: F.instance_norm(x, weight=s, bias=b))
case("GroupNormalization", {"x": real(2, 4, 3), "s": real(4), "b": real(4)}, {"num_groups": 2, "epsilon": 1e-5, "stash_type": 1}, lambda x, s, b: F.group_norm(x, 2, s, b), opset=21)
case("GroupNormalization", {"x": real(2, 4, 3), "s": real(2), "b": real(2)}, {"num_groups": 2, "epsilon": 1e-5}, lambda x, s, b: F.group_norm(x, 2, s.repeat_interleave(2), b.repeat_interleave(2)), opset=18, title="a scale per group")
case("LpNormalization", {"x": away(2, 4)}, {"axis": 1, "p": 2}, lambda x: F.normalize(x, 2, 1))
case("LpNormalization", {"x": away(2, 4)}, {"axis": 0, "p": 1}, lambda x: F.normalize(x, 1, 0), title="p 1")

for size in [3, 5]:
    def response(x, size=size):
        square = F.pad(x.square(), (0, 0, 0, 0, (size - 1) // 2, size // 2))
        total = sum(square[:, i : i + x.shape[1]] for i in range(size))
        return x / (0.9 + 0.3 / size * total) ** 0.6
    unary("LRN", response, real(2, 5, 2, 3), {"alpha": 0.3, "beta": 0.6, "bias": 0.9, "size": size}, title=f"size {size}")

def standard(x, axes=(0, 2, 3)):
    """As ONNX has it: the deviation is that of all elements, not of a sample of them."""
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True).sqrt() + 1e-9)


unary("MeanVarianceNormalization", standard, real(2, 3, 2, 2))
unary("MeanVarianceNormalization", lambda x: standard(x, (1, -1)), real(2, 3, 4), {"axes": [1, -1]}, title="axes of its own")
