"""Makes tests/optim/reference.json: parameters after each of five steps with given gradients, in float64.

    python3 scripts/reference/optimizers.py > tests/optim/reference.json

sgd, adam, adamw, adagrad and rmsprop are torch.optim's; adan, lion, lamb, muon, schedule-free-adamw, cautious updates and the transformers mode of AdamW are
written down here from their papers or authors' code. Needs torch and numpy; the project and its tests do not.
"""

import json

import numpy as np
import torch

rng = np.random.default_rng(7)
SHAPES = {"weight": (2, 3), "bias": (3,)}
START = {name: rng.uniform(-1, 1, shape) for name, shape in SHAPES.items()}
GRADIENTS = [{name: rng.normal(0, 1, shape) * (0.1 if step % 2 else 1) for name, shape in SHAPES.items()} for step in range(5)]
LR = 0.05


def torch_run(make, change=None):
    params = {name: torch.tensor(value, requires_grad=True) for name, value in START.items()}
    optimizer = make(list(params.values()))
    steps = []
    for gradients in GRADIENTS:
        for name, p in params.items():
            p.grad = torch.tensor(gradients[name])
        if change:
            change(list(params.values()))
        optimizer.step()
        steps.append({name: p.detach().numpy().copy() for name, p in params.items()})
    return steps


def own_run(update):
    """`update(w, g, state, t)` gives the next w."""
    params = {name: value.copy() for name, value in START.items()}
    states = {name: {} for name in params}
    steps = []
    for t, gradients in enumerate(GRADIENTS, 1):
        for name in params:
            params[name] = update(params[name], gradients[name], states[name], t)
        steps.append({name: value.copy() for name, value in params.items()})
    return steps


def adam_moments(g, s, t, b1, b2):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    return s["m"] / (1 - b1**t), s["v"] / (1 - b2**t)


def transformers_adamw(wd):
    def update(w, g, s, t):
        adam_moments(g, s, t, 0.9, 0.999)
        rate = LR * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        w = w - rate * s["m"] / (np.sqrt(s["v"]) + 1e-6)
        return w - LR * wd * w

    return update


def adan(w, g, s, t, betas=(0.98, 0.92, 0.99), eps=1e-8, wd=0.02):
    b1, b2, b3 = betas
    d = g - s["p"] if "p" in s else np.zeros_like(g)
    s["p"] = g
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["u"] = b2 * s.get("u", 0) + (1 - b2) * d
    s["n"] = b3 * s.get("n", 0) + (1 - b3) * (g + b2 * d) ** 2
    denominator = np.sqrt(s["n"]) / np.sqrt(1 - b3**t) + eps
    step = (s["m"] / (1 - b1**t) + b2 * s["u"] / (1 - b2**t)) / denominator
    return (w - LR * step) / (1 + LR * wd)


def lion(w, g, s, t, b1=0.9, b2=0.99, wd=0.1):
    c = b1 * s.get("m", 0) + (1 - b1) * g
    s["m"] = b2 * s.get("m", 0) + (1 - b2) * g
    return w - LR * (np.sign(c) + wd * w)


def lamb(w, g, s, t, wd=0.01):
    m, v = adam_moments(g, s, t, 0.9, 0.999)
    u = m / (np.sqrt(v) + 1e-6) + wd * w
    norms = np.linalg.norm(w), np.linalg.norm(u)
    ratio = norms[0] / norms[1] if min(norms) > 0 else 1
    return w - LR * ratio * u


def centralized(params):
    for p in params:
        if p.dim() > 1:
            p.grad -= p.grad.mean(dim=tuple(range(1, p.dim())), keepdim=True)


def proximal(mu):
    def change(params):
        for (name, start), p in zip(START.items(), params):
            p.grad += mu * (p.detach() - torch.tensor(start))

    return change


def normalized(params):
    for p in params:
        p.grad /= p.grad.norm()


def units(t):
    return t.norm() if t.dim() < 2 else t.flatten(1).norm(dim=1).reshape([-1] + [1] * (t.dim() - 1))


def clipped_adaptively(limit):
    def change(params):
        for p in params:
            most = units(p.detach()).clamp(min=1e-3) * limit
            own = units(p.grad)
            p.grad = torch.where(own > most, p.grad * most / own.clamp(min=1e-6), p.grad)

    return change


def chained(*changes):
    def change(params):
        for each in changes:
            each(params)

    return change


def cautious(direction, g):
    mask = (direction * g > 0).astype(g.dtype)
    return direction * mask / max(mask.mean(), 1e-3)


def cautious_adamw(w, g, s, t, wd=0.1):
    m, v = adam_moments(g, s, t, 0.9, 0.999)
    return w * (1 - LR * wd) - LR * cautious(m / (np.sqrt(v) + 1e-8), g)


def cautious_lion(w, g, s, t, b1=0.9, b2=0.99, wd=0.1):
    c = b1 * s.get("m", 0) + (1 - b1) * g
    s["m"] = b2 * s.get("m", 0) + (1 - b2) * g
    return w * (1 - LR * wd) - LR * cautious(np.sign(c), g)


def cautious_adan(w, g, s, t):
    step = (w - adan(w, g, s, t, wd=0)) / LR
    return (w - LR * cautious(step, g)) / (1 + LR * 0.02)


def muon(nesterov):
    def update(w, g, s, t, wd=0.1):
        w = w * (1 - LR * wd)
        if w.ndim < 2:
            m, v = adam_moments(g, s, t, 0.9, 0.95)
            return w - LR * m / (np.sqrt(v) + 1e-10)
        s["m"] = 0.95 * s.get("m", 0) + 0.05 * g
        u = 0.05 * g + 0.95 * s["m"] if nesterov else s["m"]
        x = u.T if u.shape[0] > u.shape[1] else u
        x = x / max(np.linalg.norm(x), 1e-7)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        x = x.T if u.shape[0] > u.shape[1] else x
        return w - LR * np.sqrt(max(1, w.shape[0] / w.shape[1])) * x

    return update


def schedule_free_adamw(wd):
    """The paper's algorithm 1 with its three sequences y, z and x; the gradient that is given is that at y."""

    def update(x, g, s, t, b1=0.9, b2=0.999):
        z = s.get("z", x)
        y = (1 - b1) * z + b1 * x
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
        s["z"] = z - LR * g / (np.sqrt(s["v"] / (1 - b2**t)) + 1e-8) - LR * wd * y
        s["weights"] = s.get("weights", 0) + LR**2
        c = LR**2 / s["weights"]
        return (1 - c) * x + c * s["z"]

    return update


O = torch.optim
CASES = [
    ("sgd", {}, torch_run(lambda p: O.SGD(p, LR))),
    ("sgd", {"momentum": 0.9, "weightDecay": 0.1}, torch_run(lambda p: O.SGD(p, LR, momentum=0.9, weight_decay=0.1))),
    ("sgd", {"momentum": 0.8, "nesterov": True}, torch_run(lambda p: O.SGD(p, LR, momentum=0.8, nesterov=True))),
    ("adam", {}, torch_run(lambda p: O.Adam(p, LR))),
    ("adam", {"weightDecay": 0.1, "beta1": 0.8, "beta2": 0.95}, torch_run(lambda p: O.Adam(p, LR, betas=(0.8, 0.95), weight_decay=0.1))),
    ("adamw", {}, torch_run(lambda p: O.AdamW(p, LR))),
    ("adamw", {"weightDecay": 0.2, "epsilon": 1e-3}, torch_run(lambda p: O.AdamW(p, LR, eps=1e-3, weight_decay=0.2))),
    ("adamw", {"weightDecay": 0.1, "epsilon": 1e-6, "mode": "transformers"}, own_run(transformers_adamw(0.1))),
    ("adan", {}, own_run(adan)),
    ("adagrad", {"weightDecay": 0.1}, torch_run(lambda p: O.Adagrad(p, LR, weight_decay=0.1))),
    ("adagrad", {"rateDecay": 0.1, "epsilon": 1e-6}, torch_run(lambda p: O.Adagrad(p, LR, lr_decay=0.1, eps=1e-6))),
    ("rmsprop", {}, torch_run(lambda p: O.RMSprop(p, LR))),
    ("rmsprop", {"alpha": 0.9, "momentum": 0.5, "weightDecay": 0.1}, torch_run(lambda p: O.RMSprop(p, LR, alpha=0.9, momentum=0.5, weight_decay=0.1))),
    ("lamb", {}, own_run(lamb)),
    ("lion", {"weightDecay": 0.1}, own_run(lion)),
    ("sgd", {"clipNorm": 0.5}, torch_run(lambda p: O.SGD(p, LR), lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5))),
    ("sgd", {"clipValue": 0.3}, torch_run(lambda p: O.SGD(p, LR), lambda p: torch.nn.utils.clip_grad_value_(p, 0.3))),
    ("sgd", {"centralize": True}, torch_run(lambda p: O.SGD(p, LR), centralized)),
    ("sgd", {"proximal": 0.5}, torch_run(lambda p: O.SGD(p, LR), proximal(0.5))),
    ("adamw", {"proximal": 2, "weightDecay": 0.1}, torch_run(lambda p: O.AdamW(p, LR, weight_decay=0.1), proximal(2))),
    ("adamw", {"cautious": True, "weightDecay": 0.1}, own_run(cautious_adamw)),
    ("lion", {"cautious": True, "weightDecay": 0.1}, own_run(cautious_lion)),
    ("adan", {"cautious": True}, own_run(cautious_adan)),
    ("schedule-free-adamw", {}, own_run(schedule_free_adamw(0))),
    ("schedule-free-adamw", {"weightDecay": 0.1}, own_run(schedule_free_adamw(0.1))),
    ("muon", {}, own_run(muon(True))),
    ("muon", {"nesterov": False}, own_run(muon(False))),
    ("sgd", {"transforms": ["normalize"]}, torch_run(lambda p: O.SGD(p, LR), normalized)),
    ("sgd", {"transforms": ["agc:0.5"]}, torch_run(lambda p: O.SGD(p, LR), clipped_adaptively(0.5))),
    ("adamw", {"transforms": ["clip-norm:1", "centralize", "agc:0.1", "clip-value:0.05"]}, torch_run(lambda p: O.AdamW(p, LR), chained(lambda p: torch.nn.utils.clip_grad_norm_(p, 1), centralized, clipped_adaptively(0.1), lambda p: torch.nn.utils.clip_grad_value_(p, 0.05)))),
]

plain = lambda value: [float(f"{v:.9g}") for v in np.asarray(value).ravel()]
pack = lambda tensors: {name: plain(value) for name, value in tensors.items()}
document = {
    "learningRate": LR,
    "shapes": {name: list(shape) for name, shape in SHAPES.items()},
    "start": pack(START),
    "gradients": [pack(step) for step in GRADIENTS],
    "cases": [{"name": name, "options": options, "steps": [pack(step) for step in steps]} for name, options, steps in CASES],
}
print(json.dumps(document, separators=(",", ":")).replace('},{"name"', '},\n{"name"'))
