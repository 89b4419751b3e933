"""Operators that are made of others: attention, rotary embeddings, fused operators."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from case import case, int32s, ints, real


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
mask = int32s([1, 1, 1, 0, 0], [1, 1, 1, 1, 0])
case("MultiHeadAttention", {"q": real(2, 3, 8), "k": real(2, 5, 8), "v": real(2, 5, 8), "b": None, "m": mask, "a": real(1, 2, 3, 5)}, {"num_heads": 2, "mask_filter_value": -2.0, "scale": 0.3}, lambda q, k, v, b, m, a: flat(weigh(heads(q, 2), heads(k, 2), heads(v, 2), 0.3, add=-2.0 * (m == 0)[:, None, None] + a)), domain="com.microsoft", title="padding, bias of the scores", open=[1], static=["a", "k"])
case("MultiHeadAttention", {"q": real(2, 3, 8), "k": real(2, 3, 8), "v": real(2, 3, 8), "b": None, "m": None, "a": None, "pk": real(2, 2, 2, 4), "pv": real(2, 2, 2, 4)}, {"num_heads": 2, "unidirectional": 1}, lambda q, k, v, b, m, a, pk, pv: (flat(weigh(heads(q, 2), cat(pk, heads(k, 2)), cat(pv, heads(v, 2)), keep=seen(3, 5, 2))), cat(pk, heads(k, 2)), cat(pv, heads(v, 2))), domain="com.microsoft", title="causal, past", outputs=3, open=[1])
case("MultiHeadAttention", {"q": real(2, 3, 8), "k": real(2, 2, 5, 4), "v": real(2, 2, 5, 4)}, {"num_heads": 2}, lambda q, k, v: flat(weigh(heads(q, 2), k, v)), domain="com.microsoft", title="keys cut into heads", open=[0])

projected = lambda x, w, b, n=2: [heads(part, n) for part in (x @ w + b).split(x.shape[-1], 2)]
case("Attention", {"x": real(2, 3, 6), "w": real(6, 18), "b": real(18)}, {"num_heads": 2}, lambda x, w, b: flat(weigh(*projected(x, w, b))), domain="com.microsoft", open=[0, 1], static=["w", "b"])
case("Attention", {"x": real(2, 3, 6), "w": real(6, 18), "b": real(18), "m": int32s(2, 3)}, {"num_heads": 2, "scale": 0.4, "mask_filter_value": -3.0}, lambda x, w, b, m: flat(weigh(*projected(x, w, b), 0.4, add=-3.0 * (torch.arange(3)[None] >= m[:, None])[:, None, None])), domain="com.microsoft", title="lengths", open=[1], static=["w", "b"])
case("Attention", {"x": real(2, 3, 6), "w": real(6, 18), "b": real(18), "m": mask[:, :3] * int32s([1, 0, 1], [1, 1, 1])}, {"num_heads": 2, "unidirectional": 1}, lambda x, w, b, m: flat(weigh(*projected(x, w, b), add=-10000.0 * (m == 0)[:, None, None], keep=seen(3, 3))), domain="com.microsoft", title="causal, padding", open=[0, 1], static=["w", "b"])
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
case("GroupQueryAttention", {"q": real(2, 3, 32), "k": real(2, 3, 16), "v": real(2, 3, 16), "pk": None, "pv": None, "lens": int32s(2, 2), "total": size(3)}, {"num_heads": 4, "kv_num_heads": 2, "softcap": 0.7}, lambda q, k, v, pk, pv, n, t: flat(weigh(heads(q, 4), heads(k, 2), heads(v, 2), cap=0.7, keep=seen(3, 3))), domain="com.microsoft", title="soft cap", open=[0, 1], outputs=1)
def rotated_heads(q, k, v, pk, pv, n, t, c, s):
    return flat(weigh(turn(heads(q, 4), c[:3], s[:3], True), turn(heads(k, 2), c[:3], s[:3], True), heads(v, 2), 0.4, keep=seen(3, 3)))
case("GroupQueryAttention", {"q": real(1, 3, 64), "k": real(1, 3, 32), "v": real(1, 3, 32), "pk": None, "pv": None, "lens": int32s(2), "total": size(3), **tables(4, 8)}, {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "rotary_interleaved": 1, "scale": 0.4}, rotated_heads, wrt=["q", "k", "v"], domain="com.microsoft", title="rotary, neighbours", open=[0, 1])
case("GroupQueryAttention", {"q": real(1, 3, 64), "k": None, "v": None, "pk": None, "pv": None, "lens": int32s(2), "total": size(3), **tables(4, 8)}, {"num_heads": 2, "kv_num_heads": 1, "do_rotary": 1}, lambda q, k, v, pk, pv, n, t, c, s: flat(weigh(turn(heads(q, 4)[:, :2], c[:3], s[:3]), turn(heads(q, 4)[:, 2:3], c[:3], s[:3]), heads(q, 4)[:, 3:], keep=seen(3, 3))), wrt=["q"], domain="com.microsoft", title="packed, rotary", open=[0, 1])
def later(q, k, v, pk, pv, n, t):
    """Two samples with 2 and 3 keys before; places behind the last key are zeros."""
    def present(p, h):
        return torch.stack([F.pad(torch.cat([p[b, :, :r], h[b]], 1), (0, 0, 0, 3 - r)) for b, r in enumerate([2, 3])])
    k, v = present(pk, heads(k, 2)), present(pv, heads(v, 2))
    keep = torch.tensor([[True, True, True, False], [True] * 4])[:, None, None]
    return flat(weigh(heads(q, 2), k, v, keep=keep)), k, v
case("GroupQueryAttention", {"q": real(2, 1, 16), "k": real(2, 1, 16), "v": real(2, 1, 16), "pk": real(2, 2, 3, 8), "pv": real(2, 2, 3, 8), "lens": int32s(2, 3), "total": size(4)}, {"num_heads": 2, "kv_num_heads": 2}, later, domain="com.microsoft", title="past, lengths that differ", outputs=3)
case("GroupQueryAttention", {"q": real(1, 6, 16), "k": real(1, 6, 16), "v": real(1, 6, 16), "pk": None, "pv": None, "lens": int32s(5), "total": size(6)}, {"num_heads": 2, "kv_num_heads": 2, "local_window_size": 2}, lambda q, k, v, pk, pv, n, t: flat(weigh(heads(q, 2), heads(k, 2), heads(v, 2), keep=seen(6, 6, window=1))), domain="com.microsoft", title="window", open=[1])

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
tokens = int32s([0, 3, 1], [2, 2, 4])
case("EmbedLayerNormalization", {"ids": tokens, "seg": int32s([0, 0, 1], [1, 0, 1]), "word": real(5, 4), "place": real(6, 4), "part": real(2, 4), "s": real(4), "b": real(4)}, {"epsilon": 0.01, "mask_index_type": 0}, lambda i, g, w, p, q, s, b: F.layer_norm(w[i.long()] + p[:3] + q[g.long()], (4,), s, b, 0.01), domain="com.microsoft")
case("EmbedLayerNormalization", {"ids": tokens, "seg": None, "word": real(5, 4), "place": real(6, 4), "part": None, "s": real(4), "b": real(4), "m": None, "at": int32s([1, 0, 2], [5, 4, 3])}, {}, lambda i, g, w, p, q, s, b, m, at: F.layer_norm(w[i.long()] + p[at.long()], (4,), s, b, 1e-12), domain="com.microsoft", title="positions, no segments")
