"""Makes tests/passes/add-loss.json: losses and their gradients as PyTorch computes them, in float64.

    python3 scripts/reference/losses.py > tests/passes/add-loss.json

Needs torch and numpy; the project and its tests do not.
"""

import json

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(3)
cases = []


def plain(array):
    array = np.asarray(array)
    data = [float(f"{v:.9g}") for v in array.ravel()] if array.dtype.kind == "f" else [int(v) for v in array.ravel()]
    return {"dims": list(array.shape), "data": data}


def case(options, scores, target, of):
    x = torch.tensor(scores, requires_grad=True)
    loss = of(x, torch.tensor(target))
    (gradient,) = torch.autograd.grad(loss, [x])
    cases.append({"options": options, "scores": plain(scores), "target": plain(target), "loss": loss.item(), "gradient": plain(gradient.numpy())})


def classes(*shape, axis=1):
    scores = rng.normal(0, 2, shape)
    dims = [d for i, d in enumerate(shape) if i != axis % len(shape)]
    return scores, rng.integers(0, shape[axis], dims)


CE = {"kind": "cross-entropy"}
case(CE, *classes(4, 3), lambda x, t: F.cross_entropy(x, t))
case({**CE, "reduction": "sum"}, *classes(2, 3, 4), lambda x, t: F.cross_entropy(x, t, reduction="sum"))
last = lambda x, t, **more: F.cross_entropy(x.reshape(-1, x.shape[-1]), t.reshape(-1), **more)
case({**CE, "classAxis": -1}, *classes(2, 4, 3, axis=-1), last)
case({**CE, "classAxis": 2}, *classes(2, 2, 3, 4, axis=2), lambda x, t: F.cross_entropy(x.movedim(2, 1), t))
case({**CE, "classAxis": -1, "ignoreIndex": 1, "labelSmoothing": 0.1}, *classes(2, 5, 3, axis=-1), lambda x, t: last(x, t, ignore_index=1, label_smoothing=0.1))
case({**CE, "labelSmoothing": 0.2}, *classes(4, 3), lambda x, t: F.cross_entropy(x, t, label_smoothing=0.2))
case({**CE, "labelSmoothing": 0.2, "reduction": "sum"}, *classes(2, 3, 4), lambda x, t: F.cross_entropy(x, t, label_smoothing=0.2, reduction="sum"))
W = [0.5, 2.0, 1.25]
case({**CE, "classWeights": W}, *classes(5, 3), lambda x, t: F.cross_entropy(x, t, torch.tensor(W)))
case({**CE, "classWeights": W, "labelSmoothing": 0.3, "ignoreIndex": 2}, *classes(6, 3), lambda x, t: F.cross_entropy(x, t, torch.tensor(W), label_smoothing=0.3, ignore_index=2))
REAL = lambda: (rng.normal(0, 2, (3, 4)), rng.normal(0, 2, (3, 4)))
case({"kind": "mse"}, *REAL(), F.mse_loss)
case({"kind": "mse", "reduction": "sum"}, *REAL(), lambda x, t: F.mse_loss(x, t, reduction="sum"))
case({"kind": "l1"}, *REAL(), F.l1_loss)
case({"kind": "smooth-l1", "threshold": 0.7}, *REAL(), lambda x, t: F.smooth_l1_loss(x, t, beta=0.7))
case({"kind": "huber", "threshold": 1.3}, *REAL(), lambda x, t: F.huber_loss(x, t, delta=1.3))
LOGITS = lambda: (rng.normal(0, 8, (3, 4)), rng.uniform(0, 1, (3, 4)))
case({"kind": "bce-with-logits"}, *LOGITS(), F.binary_cross_entropy_with_logits)
case({"kind": "bce-with-logits", "positiveWeight": 2.5, "reduction": "sum"}, *LOGITS(), lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=torch.tensor(2.5), reduction="sum"))
case({"kind": "bce-with-logits"}, np.array([[100.0, -100.0, 300.0]]), np.array([[0.0, 1.0, 1.0]]), F.binary_cross_entropy_with_logits)

print(json.dumps(cases, separators=(",", ":")).replace('},{"options"', '},\n{"options"'))
