"""Makes tests/autodiff/loops.json: gradients through repeated graphs as PyTorch computes them, in float64.

    python3 scripts/reference/loops.py > tests/autodiff/loops.json

Needs torch; the project and its tests do not. tests/autodiff/loops.test.ts writes the same formulas with Scan and Loop.
"""

import json

import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(20261127)
cases = {}


def case(name, shapes, of):
    leaves = {key: (torch.rand(shape) * 2 - 1).requires_grad_(True) for key, shape in shapes.items()}
    loss = of(**leaves)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    cases[name] = {
        "inputs": {key: packed(value) for key, value in leaves.items()},
        "loss": loss.item(),
        "gradients": {key: packed(value) for key, value in zip(leaves, gradients)},
    }


def packed(tensor):
    return {"dims": list(tensor.shape), "data": tensor.detach().reshape(-1).tolist()}


def weighed(y):
    """A loss in which every element counts differently."""
    return (y.reshape(-1) * torch.cos(torch.arange(y.numel(), dtype=torch.float64))).sum()


def cell(h, x, w, u, b):
    return torch.tanh(x @ w + h @ u + b)


LAYER = {"x": (4, 2, 3), "h": (2, 2), "w": (3, 2), "u": (2, 2), "b": (2,)}


def steps(x, h, w, u, b, order):
    states = {}
    for t in order:
        h = cell(h, x[t], w, u, b)
        states[t] = h
    return h, torch.stack([states[t] for t in range(len(states))])


def forward(**k):
    last, states = steps(**k, order=range(4))
    return weighed(states) + 3 * weighed(last)


def backward(**k):
    last, states = steps(**k, order=reversed(range(4)))
    return weighed(states) + 3 * weighed(last)


case("scan", LAYER, forward)
case("scan backward", LAYER, backward)


def inner_axes(x, y, s):
    """Sums along the second axis of x times the first of y backward; what is piled up is the first axis and turned round."""
    total, piled = s, []
    for t in range(3):
        total = total * x[:, t] + y[2 - t]
        piled.append(total * total)
    return weighed(torch.stack(piled[::-1], 1)) + weighed(total)


case("scan along other axes", {"x": (2, 3), "y": (3, 2), "s": (2,)}, inner_axes)


def trips(v, w, count):
    total = torch.zeros(())
    piled = []
    for i in range(count):
        v = torch.sin(v @ w) * (i + 1)
        piled.append(v)
    return weighed(v) + weighed(torch.stack(piled))


case("loop with a trip count", {"v": (2, 3), "w": (3, 3)}, lambda v, w: trips(v, w, 3))


def until(v, w):
    """Ends when the sum of squares is larger than 40."""
    i = 0
    while i < 20:
        v = v * 1.5 + w
        i += 1
        if v.square().sum() > 40:
            break
    return weighed(v) * i


case("loop with a condition", {"v": (3,), "w": (3,)}, until)


def choosing(v, w):
    for i in range(4):
        v = torch.tanh(v * w) if i % 2 == 0 else v - w
    return weighed(v)


case("loop with an if", {"v": (3,), "w": (3,)}, choosing)
print(json.dumps(cases))
