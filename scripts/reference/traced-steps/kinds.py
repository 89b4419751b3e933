"""Train steps of many kinds. `agr` is AGR by hand, or nothing: it stands where the optimizer gets its gradient."""

import math

import torch
import torch.nn.functional as F

KINDS = {}


def kind(state, data=None, names=None, expect="right", flags=()):
    """names: how outputs are called by state name, default <name>_out; expect: right, or refused."""

    def add(function):
        KINDS[function.__name__] = dict(
            step=function, state=state, data=XY if data is None else data, names=names or (lambda n: n + "_out"),
            expect=expect, flags=flags,
        )
        return function

    return add


XY = {"x": ((8, 4), "x"), "y": ((8,), ("int", 3))}
NET = {"fc1.weight": ((4, 6), "w"), "fc1.bias": ((6,), "w"), "fc2.weight": ((6, 3), "w"), "fc2.bias": ((3,), "w")}
P = list(NET)


def net(s, x, prefix=""):
    return torch.tanh(x @ s[prefix + "fc1.weight"] + s[prefix + "fc1.bias"]) @ s[prefix + "fc2.weight"] + s[prefix + "fc2.bias"]


def slots(**kinds):
    return {f"{p}.{name}": (shape, fill) for p, (shape, _) in NET.items() for name, fill in kinds.items()}


def grads(loss, tensors, **options):
    return torch.autograd.grad(loss, tensors, **options)


def leaves(s, names=P):
    return {**s, **{n: s[n].detach().requires_grad_() for n in names}}


def sloped(s, d):
    """The state with leaves, the loss and the gradients by name."""
    s = leaves(s)
    loss = F.cross_entropy(net(s, d["x"]), d["y"])
    return s, loss, dict(zip(P, grads(loss, [s[p] for p in P])))


def optimizer(update, loss_name="loss", **extra):
    """A step of one formula per parameter: update(p, g, slots, t) -> p', slots'."""

    def step(s, d, agr):
        s, loss, g = sloped(s, d)
        t = s["step"] + 1 if "step" in s else None
        new = {} if t is None else {"step": t}
        for p in P:
            own = {n[len(p) + 1 :]: v for n, v in s.items() if n.startswith(p + ".")}
            new[p], renewed = update(s[p], agr(g[p]), own, t)
            new.update({f"{p}.{n}": v for n, v in renewed.items()})
        return new, {loss_name: loss}

    return step


def simple(name, own, update, counts=False, **options):
    state = {**NET, **slots(**own), **({"step": ((), 3.0)} if counts else {})}
    function = optimizer(update)
    function.__name__ = name
    kind(state, **options)(function)


B1, B2, LR = 0.9, 0.99, 0.05


def moments(g, o):
    return B1 * o["m"] + (1 - B1) * g, B2 * o["v"] + (1 - B2) * g * g


ADAM = dict(m="w", v="pos")


def adam_step_size(p, g, o, t):
    m, v = moments(g, o)
    size = LR * torch.sqrt(1 - B2**t) / (1 - B1**t)
    return p - size * m / (v.sqrt() + 1e-4), dict(m=m, v=v)


simple("adam_bias_correction_as_step_size", ADAM, adam_step_size, counts=True)


def adam_inside(p, g, o, t):
    m, v = moments(g, o)
    return p - LR * (m / (1 - B1**t)) / torch.sqrt(v / (1 - B2**t) + 1e-6), dict(m=m, v=v)


simple("adam_epsilon_inside_the_root", ADAM, adam_inside, counts=True)


def adam_rsqrt(p, g, o, t):
    m, v = moments(g, o)
    return p + -LR * (m * torch.rsqrt(v + 1e-6)), dict(m=m, v=v)


simple("adam_by_rsqrt", ADAM, adam_rsqrt)


def adam_torch(p, g, o, t):
    m = o["m"].lerp(g, 1 - B1)
    v = (o["v"] * B2).addcmul(g, g, value=1 - B2)
    c1, c2 = 1 - B1**t, 1 - B2**t
    denom = v.sqrt() / c2.sqrt() / -(LR / c1) + 1e-4 / -(LR / c1)
    return p * (1 - LR * 0.1) + m / denom, dict(m=m, v=v)


simple("adamw_capturable", ADAM, adam_torch, counts=True)


def amsgrad(p, g, o, t):
    m, v = moments(g, o)
    corrected = v / (1 - B2**t)
    largest = torch.maximum(o["max"], corrected)
    return p - LR * (m / (1 - B1**t)) / (largest.sqrt() + 1e-4), dict(m=m, v=v, max=largest)


simple("amsgrad_of_corrected", dict(m="w", v="pos", max="pos"), amsgrad, counts=True)


def nadam(p, g, o, t):
    mu = B1 * (1 - 0.5 * 0.96 ** (t * 0.004))
    mu_next = B1 * (1 - 0.5 * 0.96 ** ((t + 1) * 0.004))
    product = o["mu"] * mu
    m, v = moments(g, o)
    denom = (v / (1 - B2**t)).sqrt() + 1e-4
    made = p + (g / denom) * (-LR * (1 - mu) / (1 - product))
    return made + (m / denom) * (-LR * mu_next / (1 - product * mu_next)), dict(m=m, v=v, mu=product)


KINDS_NADAM = {**NET, **slots(**ADAM), **{f"{p}.mu": ((), 0.5) for p in P}, "step": ((), 3.0)}
function = optimizer(nadam)
function.__name__ = "nadam_with_mu_products"
kind(KINDS_NADAM)(function)


def radam(p, g, o, t):
    m, v = moments(g, o)
    rho_inf = 2 / (1 - B2) - 1
    rho = rho_inf - 2 * t * B2**t / (1 - B2**t)
    rect = torch.sqrt(torch.clamp((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho), min=0.0))
    adapted = torch.sqrt(1 - B2**t) / (v.sqrt() + 1e-4) * rect
    plain = torch.ones_like(v)
    return p - LR * m / (1 - B1**t) * torch.where(rho > 5.0, adapted, plain), dict(m=m, v=v)


simple("radam_where_rectified", ADAM, radam, counts=True)


def adamax(p, g, o, t):
    m = B1 * o["m"] + (1 - B1) * g
    u = torch.amax(torch.stack([o["u"] * B2, g.abs() + 1e-6]), 0)
    return p - LR / (1 - B1**t) * m / u, dict(m=m, u=u)


simple("adamax_by_stack_and_amax", dict(m="w", u="pos"), adamax, counts=True)


def adagrad(p, g, o, t):
    total = o["sum"].addcmul(g, g)
    return p - (LR / (1 + (t - 1) * 0.1)) * g / (total.sqrt() + 1e-4), dict(sum=total)


simple("adagrad_with_decaying_rate", dict(sum="pos"), adagrad, counts=True)


def adadelta(p, g, o, t):
    square = o["sq"] * 0.9 + g * g * 0.1
    delta = (o["acc"] + 1e-4).sqrt() / (square + 1e-4).sqrt() * g
    return p - delta, dict(sq=square, acc=o["acc"] * 0.9 + delta * delta * 0.1)


simple("adadelta", dict(sq="pos", acc="pos"), adadelta)


def rms_centered(p, g, o, t):
    square = 0.9 * o["sq"] + 0.1 * g * g
    mean = o["avg"].lerp(g, 0.1)
    denom = (square - mean * mean + 0.1).sqrt()
    buffer = 0.9 * o["buf"] + g / denom
    return p - LR * buffer, dict(sq=square, avg=mean, buf=buffer)


simple("rmsprop_centered_momentum", dict(sq="pos", avg="zero", buf="w"), rms_centered)


def rprop(p, g, o, t):
    sign = (g * o["prev"]).sign()
    factor = torch.where(sign > 0.0, torch.full_like(sign, 1.2), torch.where(sign < 0.0, torch.full_like(sign, 0.5), torch.ones_like(sign)))
    size = torch.clamp(o["size"] * factor, 1e-6, 50.0)
    kept = torch.where(sign < 0.0, torch.zeros_like(g), g)
    return p - kept.sign() * size, dict(prev=kept, size=size)


simple("rprop", dict(prev="w", size="pos"), rprop)


def sgd_nesterov(p, g, o, t):
    g = g + 0.01 * p
    buffer = 0.9 * o["buf"] + (1 - 0.3) * g
    return p - LR * (g + 0.9 * buffer), dict(buf=buffer)


simple("sgd_nesterov_dampening_decay", dict(buf="w"), sgd_nesterov)


def velocity(p, g, o, t):
    v = 0.9 * o["velocity"] - LR * g
    return p + v, dict(velocity=v)


simple("momentum_as_velocity", dict(velocity="w"), velocity)


def velocity_nesterov(p, g, o, t):
    v = 0.9 * o["velocity"] - LR * g
    return p + 0.9 * v - LR * g, dict(velocity=v)


simple("nesterov_as_velocity", dict(velocity="w"), velocity_nesterov)


def first_step(p, g, o, t):
    buffer = torch.where(t == 1.0, g, 0.9 * o["buf"] + g)
    return p - LR * buffer, dict(buf=buffer)


simple("momentum_first_step_by_where", dict(buf="w"), first_step, counts=True)


def lars(p, g, o, t):
    ratio = 0.02 * p.norm() / (g.norm() + 0.01 * p.norm() + 1e-8)
    ratio = torch.where(p.norm() > 0.0, torch.where(g.norm() > 0.0, ratio, torch.ones_like(ratio)), torch.ones_like(ratio))
    buffer = 0.9 * o["buf"] + (g + 0.01 * p) * ratio
    return p - LR * buffer, dict(buf=buffer)


simple("lars_where", dict(buf="w"), lars)


def lamb(p, g, o, t):
    m, v = moments(g, o)
    r = m / (v.sqrt() + 1e-4) + 0.01 * p
    trust = torch.clamp(p.norm(), 0.0, 10.0) / (r.norm() + 1e-6)
    return p - LR * trust * r, dict(m=m, v=v)


simple("lamb_clamped_without_correction", ADAM, lamb)


def lion(p, g, o, t):
    update = (0.9 * o["m"] + 0.1 * g).sign() + 0.1 * p
    return p - LR * update, dict(m=o["m"].lerp(g, 0.01))


simple("lion_decay_in_the_update", dict(m="w"), lion)


def adan(p, g, o, t):
    diff = o["neg_prev"] + g
    m = 0.98 * o["m"] + 0.02 * g
    d = 0.92 * o["d"] + 0.08 * diff
    look = g + 0.92 * diff
    n = 0.99 * o["n"] + 0.01 * look * look
    denom = (n / (1 - 0.99**t)).sqrt() + 1e-3
    made = p * (1 - LR * 0.02) - LR * (m / (1 - 0.98**t)) / denom - LR * 0.92 * (d / (1 - 0.92**t)) / denom
    return made, dict(m=m, d=d, n=n, neg_prev=-g)


simple("adan_of_its_authors", dict(m="w", d="w", n="pos", neg_prev="w"), adan, counts=True)


def adafactor(p, g, o, t):
    beta = 1 - t**-0.8
    square = g * g + 1e-8
    if p.dim() == 2:
        row = beta * o["row"] + (1 - beta) * square.mean(1)
        col = beta * o["col"] + (1 - beta) * square.mean(0)
        update = g * torch.rsqrt(row / row.mean()).unsqueeze(1) * torch.rsqrt(col).unsqueeze(0)
        renewed = dict(row=row, col=col)
    else:
        v = beta * o["v"] + (1 - beta) * square
        update = g * torch.rsqrt(v)
        renewed = dict(v=v)
    rms = update.norm() / math.sqrt(update.numel())
    update = update / torch.clamp(rms, min=1.0)
    scale = torch.clamp(p.norm() / math.sqrt(p.numel()), min=1e-3)
    return p - LR * scale * update, renewed


FACTORED = {}
for p_, (shape_, _) in NET.items():
    if len(shape_) == 2:
        FACTORED[p_ + ".row"], FACTORED[p_ + ".col"] = ((shape_[0],), "pos"), ((shape_[1],), "pos")
    else:
        FACTORED[p_ + ".v"] = (shape_, "pos")
function = optimizer(adafactor)
function.__name__ = "adafactor_relative_step"
kind({**NET, **FACTORED, "step": ((), 3.0)})(function)


def yogi(p, g, o, t):
    m = B1 * o["m"] + (1 - B1) * g
    square = g * g
    v = o["v"] - (1 - B2) * torch.sign(o["v"] - square) * square
    return p - LR * m / (v.abs().sqrt() + 1e-3), dict(m=m, v=v)


simple("yogi", ADAM, yogi)


def adabelief(p, g, o, t):
    m = B1 * o["m"] + (1 - B1) * g
    v = B2 * o["v"] + (1 - B2) * (g - m) ** 2 + 1e-6
    return p - LR * m / (v.sqrt() + 1e-3), dict(m=m, v=v)


simple("adabelief_epsilon_in_state", ADAM, adabelief)


def novograd(p, g, o, t):
    v = 0.95 * o["v"] + 0.05 * (g * g).sum()
    m = 0.9 * o["m"] + (g / (v.sqrt() + 1e-4) + 0.01 * p)
    return p - LR * m, dict(m=m, v=v)


function = optimizer(novograd)
function.__name__ = "novograd_layerwise_second_moment"
kind({**NET, **slots(m="w"), **{f"{p}.v": ((), 0.3) for p in P}})(function)


def tiger(p, g, o, t):
    m = 0.945 * o["m"] + 0.055 * g
    return p - LR * (m.sign() + 0.01 * p), dict(m=m)


simple("tiger", dict(m="w"), tiger)


def aggmo(p, g, o, t):
    buffers = [o[f"b{i}"] * beta + g for i, beta in enumerate((0.0, 0.9, 0.99))]
    return p - LR / 3 * (buffers[0] + buffers[1] + buffers[2]), {f"b{i}": b for i, b in enumerate(buffers)}


simple("aggregated_momentum", dict(b0="w", b1="w", b2="w"), aggmo)


def qhadam(p, g, o, t):
    m, v = moments(g, o)
    return p - LR * (0.3 * g + 0.7 * m) / ((0.5 * g * g + 0.5 * v).sqrt() + 1e-3), dict(m=m, v=v)


simple("quasi_hyperbolic_adam", ADAM, qhadam)


def ademamix(p, g, o, t):
    m, v = moments(g, o)
    slow = 0.999 * o["slow"] + 0.001 * g
    return p - LR * ((m / (1 - B1**t) + 5.0 * slow) / ((v / (1 - B2**t)).sqrt() + 1e-3) + 0.1 * p), dict(m=m, v=v, slow=slow)


simple("ademamix", dict(m="w", v="pos", slow="w"), ademamix, counts=True)


def grokfast(p, g, o, t):
    ema = 0.98 * o["ema"] + 0.02 * g
    used = g + 2.0 * ema
    m, v = moments(used, o)
    return p - LR * m / (v.sqrt() + 1e-3), dict(m=m, v=v, ema=ema)


simple("gradient_filter_grokfast", dict(m="w", v="pos", ema="w"), grokfast)


def cautious(p, g, o, t):
    m, v = moments(g, o)
    u = m / (v.sqrt() + 1e-3)
    mask = (u * g > 0.0).to(torch.float32)
    return p - LR * u * (mask / mask.mean().clamp(min=1e-3)), dict(m=m, v=v)


simple("cautious_adam", ADAM, cautious)


def orthogonal(m):
    x = m / (m.norm() + 1e-7)
    for _ in range(3):
        a = x @ x.t()
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return x


def muon(p, g, o, t):
    buffer = 0.95 * o["buf"] + g
    used = g + 0.95 * buffer
    if p.dim() == 2:
        used = orthogonal(used) * max(1, p.shape[0] / p.shape[1]) ** 0.5
    return p - LR * used, dict(buf=buffer)


simple("muon_nesterov", dict(buf="w"), muon)


def shampoo_like(p, g, o, t):
    if p.dim() < 2:
        return p - LR * g, {}
    left = 0.9 * o["left"] + g @ g.t()
    return p - LR * (left / (left.norm() + 1e-3)) @ g, dict(left=left)


function = optimizer(shampoo_like)
function.__name__ = "left_preconditioner"
kind({**NET, **{f"{p}.left": ((NET[p][0][0],) * 2, "w") for p in P if len(NET[p][0]) == 2}})(function)


def rotated(p, g, o, t):
    """Adam in a fixed basis (SOAP, GaLore's projection)."""
    if p.dim() < 2:
        return p - LR * g, {}
    low = o["basis"].t() @ g
    m = B1 * o["m"] + (1 - B1) * low
    v = B2 * o["v"] + (1 - B2) * low * low
    return p - LR * o["basis"] @ (m / (v.sqrt() + 1e-3)), dict(m=m, v=v, basis=o["basis"])


LOW = {}
for p_, (shape_, _) in NET.items():
    if len(shape_) == 2:
        LOW[p_ + ".basis"] = ((shape_[0], 2), "w")
        LOW[p_ + ".m"], LOW[p_ + ".v"] = ((2, shape_[1]), "w"), ((2, shape_[1]), "pos")
function = optimizer(rotated)
function.__name__ = "galore_projection"
kind({**NET, **LOW})(function)

# --- what else a step does --------------------------------------------------------------------------------------


def adamish(new, s, p, g):
    m, v = B1 * s[p + ".m"] + (1 - B1) * g, B2 * s[p + ".v"] + (1 - B2) * g * g
    new[p], new[p + ".m"], new[p + ".v"] = s[p] - LR * m / (v.sqrt() + 1e-3), m, v


WITH_ADAM = {**NET, **slots(**ADAM)}


def momentum(new, s, p, g):
    buffer = 0.9 * s[p + ".buf"] + g
    new[p], new[p + ".buf"] = s[p] - LR * buffer, buffer


WITH_MOMENTUM = {**NET, **slots(buf="w")}


@kind({**NET, "m": ((51,), "w"), "v": ((51,), "pos")})
def moments_in_one_flat_vector(s, d, agr):
    s, loss, g = sloped(s, d)
    flat = torch.cat([agr(g[p]).reshape(-1) for p in P])
    m, v = B1 * s["m"] + (1 - B1) * flat, B2 * s["v"] + (1 - B2) * flat * flat
    update, new, at = LR * m / (v.sqrt() + 1e-3), {"m": m, "v": v}, 0
    for p in P:
        size = s[p].numel()
        new[p] = s[p] - update[at : at + size].view(s[p].shape)
        at += size
    return new, {"loss": loss}


@kind({**NET, "buf": ((51,), "w")})
def flat_momentum_split(s, d, agr):
    s, loss, g = sloped(s, d)
    buf = 0.9 * s["buf"] + torch.cat([agr(g[p]).reshape(-1) for p in P])
    parts = torch.split(buf, [s[p].numel() for p in P])
    return {"buf": buf, **{p: s[p] - LR * part.view(s[p].shape) for p, part in zip(P, parts)}}, {"loss": loss}


EQUAL = {"a.weight": ((4, 4), "w"), "b.weight": ((4, 4), "w"), "c.weight": ((4, 4), "w")}


@kind({**EQUAL, "m": ((3, 4, 4), "w"), "v": ((3, 4, 4), "pos")}, data={"x": ((8, 4), "x"), "y": ((8, 4), "x")})
def foreach_stacked(s, d, agr):
    s = leaves(s, EQUAL)
    h = d["x"]
    for n in EQUAL:
        h = torch.tanh(h @ s[n])
    loss = F.mse_loss(h, d["y"])
    g = torch.stack([agr(each) for each in grads(loss, [s[n] for n in EQUAL])])
    m, v = B1 * s["m"] + (1 - B1) * g, B2 * s["v"] + (1 - B2) * g * g
    made = torch.stack([s[n] for n in EQUAL]) - LR * m / (v.sqrt() + 1e-3)
    return {"m": m, "v": v, **{n: made[i] for i, n in enumerate(EQUAL)}}, {"loss": loss}


@kind({"w": ((4, 3), "w"), "w.m": ((4, 3), "w"), "w.v": ((4, 3), "pos"), "step": ((), 3.0)})
def one_layer(s, d, agr):
    s = leaves(s, ["w"])
    loss = F.cross_entropy(d["x"] @ s["w"], d["y"])
    new = {"step": s["step"] + 1}
    adamish(new, s, "w", agr(grads(loss, [s["w"]])[0]))
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM})
def sam(s, d, agr):
    s, loss, g = sloped(s, d)
    norm = torch.sqrt(sum((g[p] * g[p]).sum() for p in P))
    moved = leaves({**s, **{p: (s[p] + 0.05 * g[p] / (norm + 1e-8)).detach() for p in P}})
    second = F.cross_entropy(net(moved, d["x"]), d["y"])
    g = dict(zip(P, grads(second, [moved[p] for p in P])))
    new = {}
    for p in P:
        momentum(new, s, p, agr(g[p]))
    return new, {"loss": loss}


@kind({**NET, **{f"slow.{p}": NET[p] for p in P}, "step": ((), 4.0)})
def lookahead(s, d, agr):
    s, loss, g = sloped(s, d)
    t = s["step"] + 1
    new = {"step": t}
    sync = torch.remainder(t, 5.0) == 0.0
    for p in P:
        fast = s[p] - LR * agr(g[p])
        slow = s["slow." + p] + 0.5 * (fast - s["slow." + p])
        new["slow." + p] = torch.where(sync, slow, s["slow." + p])
        new[p] = torch.where(sync, slow, fast)
    return new, {"loss": loss}


def prefixed(prefix, like=NET):
    return {prefix + n: v for n, v in like.items()}


@kind({**WITH_ADAM, **prefixed("ema.")}, data={**XY, "u": ((8, 4), "x")})
def mean_teacher_consistency(s, d, agr):
    s = leaves(s)
    target = F.softmax(net(s, d["u"], "ema."), 1).detach()
    consistency = ((F.softmax(net(s, d["u"]), 1) - target) ** 2).mean()
    loss = F.cross_entropy(net(s, d["x"]), d["y"]) + 3.0 * consistency
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        adamish(new, s, p, agr(g))
        new["ema." + p] = 0.99 * s["ema." + p] + 0.01 * new[p]
    return new, {"loss": loss, "consistency": consistency}


@kind({**WITH_MOMENTUM, **prefixed("target."), "head": ((3, 3), "w")}, data={"x": ((8, 4), "x"), "x2": ((8, 4), "x")})
def byol(s, d, agr):
    s = leaves(s, P + ["head"])
    p1, z2 = net(s, d["x"]) @ s["head"], net(s, d["x2"], "target.").detach()
    loss = 2 - 2 * (p1 * z2).sum(1).div(p1.norm(dim=1) * z2.norm(dim=1) + 1e-3).mean()
    new = {}
    for p, g in zip(P + ["head"], grads(loss, [s[p] for p in P + ["head"]])):
        if p == "head":
            new[p] = s[p] - LR * agr(g)
        else:
            momentum(new, s, p, agr(g))
            new["target." + p] = s["target." + p].lerp(new[p], 0.01)
    return new, {"loss": loss}


@kind({**WITH_ADAM, **prefixed("teacher."), "center": ((3,), "w")}, data={"x": ((8, 4), "x"), "x2": ((8, 4), "x")})
def dino_with_center(s, d, agr):
    s = leaves(s)
    out = net(s, d["x2"], "teacher.").detach()
    target = F.softmax((out - s["center"]) / 0.5, 1)
    loss = -(target * F.log_softmax(net(s, d["x"]) / 0.9, 1)).sum(1).mean()
    new = {"center": 0.9 * s["center"] + 0.1 * out.mean(0)}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        adamish(new, s, p, agr(g))
        new["teacher." + p] = 0.99 * s["teacher." + p] + 0.01 * new[p]
    return new, {"loss": loss}


@kind({**NET, "codebook": ((5, 3), "w"), "cluster_size": ((5,), "pos"), "embed_avg": ((5, 3), "w")}, data={"x": ((8, 4), "x"), "t": ((8, 3), "x")})
def vq_codebook_by_averages(s, d, agr):
    s = leaves(s)
    z = net(s, d["x"])
    distance = ((z.unsqueeze(1) - s["codebook"].unsqueeze(0)) ** 2).sum(2).detach()
    hot = (distance == distance.amin(1, keepdim=True)).to(z.dtype)
    q = (hot @ s["codebook"]).detach()
    loss = F.mse_loss(z, d["t"]) + 0.25 * F.mse_loss(z, q)
    new = {"cluster_size": 0.9 * s["cluster_size"] + 0.1 * hot.sum(0), "embed_avg": 0.9 * s["embed_avg"] + 0.1 * hot.t() @ z.detach()}
    new["codebook"] = new["embed_avg"] / (new["cluster_size"] + 1e-2).unsqueeze(1)
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        new[p] = s[p] - LR * agr(g)
    return new, {"loss": loss}


@kind({**WITH_ADAM, **prefixed("target."), "step": ((), 9.0)}, data={"x": ((8, 4), "x"), "a": ((8,), ("int", 3)), "r": ((8,), "x"), "nx": ((8, 4), "x")})
def dqn_hard_target(s, d, agr):
    s = leaves(s)
    t = s["step"] + 1
    future = net(s, d["nx"], "target.").amax(1).detach()
    q = net(s, d["x"]).gather(1, d["a"].unsqueeze(1)).squeeze(1)
    gap = q - (d["r"] + 0.9 * future)
    loss = torch.where(gap.abs() < 1.0, 0.5 * gap * gap, gap.abs() - 0.5).mean()
    new = {"step": t}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        adamish(new, s, p, agr(torch.clamp(g, -1.0, 1.0)))
        new["target." + p] = torch.where(torch.remainder(t, 10.0) == 0.0, new[p], s["target." + p])
    return new, {"loss": loss, "mean_q": q.mean()}


@kind({**WITH_MOMENTUM, **prefixed("target.")}, data={"x": ((8, 4), "x"), "a": ((8,), ("int", 3)), "r": ((8,), "x"), "nx": ((8, 4), "x")})
def double_dqn_soft_target(s, d, agr):
    s = leaves(s)
    best = net(s, d["nx"]).argmax(1)
    future = net(s, d["nx"], "target.").gather(1, best.unsqueeze(1)).squeeze(1).detach()
    q = net(s, d["x"]).gather(1, d["a"].unsqueeze(1)).squeeze(1)
    loss = ((q - d["r"] - 0.9 * future) ** 2).mean()
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        momentum(new, s, p, agr(g))
        new["target." + p] = 0.995 * s["target." + p] + 0.005 * new[p]
    return new, {"td_error": loss}


@kind({**WITH_MOMENTUM}, data={"x": ((8, 4), "x"), "a": ((8,), ("int", 3)), "r": ((8,), "x"), "nx": ((8, 4), "x")}, expect="refused")
def semi_gradient_td(s, d, agr):
    s = leaves(s)
    future = net(s, d["nx"]).amax(1).detach()
    q = net(s, d["x"]).gather(1, d["a"].unsqueeze(1)).squeeze(1)
    loss = ((q - d["r"] - 0.9 * future) ** 2).mean()
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        momentum(new, s, p, agr(g))
    return new, {"loss": loss}


GD = {"g.w1": ((2, 5), "w"), "g.w2": ((5, 4), "w"), "d.w1": ((4, 6), "w"), "d.w2": ((6, 1), "w")}
G_, D_ = ["g.w1", "g.w2"], ["d.w1", "d.w2"]
GAN_DATA = {"real": ((8, 4), "x"), "z": ((8, 2), "x")}


def generator(s, z):
    return torch.tanh(z @ s["g.w1"]) @ s["g.w2"]


def critic(s, x):
    return torch.tanh(x @ s["d.w1"]) @ s["d.w2"]


def softplus(x):
    return torch.log(1 + torch.exp(x))


GAN_STATE = {**GD, **{f"{n}.m": (v[0], "w") for n, v in GD.items()}, **{f"{n}.v": (v[0], "pos") for n, v in GD.items()}}


@kind(GAN_STATE, data=GAN_DATA)
def gan_joint(s, d, agr):
    s = leaves(s, GD)
    fake = generator(s, d["z"])
    d_loss = softplus(-critic(s, d["real"])).mean() + softplus(critic(s, fake.detach())).mean()
    g_loss = softplus(-critic(s, fake)).mean()
    new = {}
    for n, g in zip(D_, grads(d_loss, [s[n] for n in D_])):
        adamish(new, s, n, agr(g))
    for n, g in zip(G_, grads(g_loss, [s[n] for n in G_])):
        adamish(new, s, n, agr(g))
    return new, {"d_loss": d_loss, "g_loss": g_loss}


@kind(GAN_STATE, data=GAN_DATA)
def gan_alternating(s, d, agr):
    s = leaves(s, GD)
    fake = generator(s, d["z"])
    d_loss = softplus(-critic(s, d["real"])).mean() + softplus(critic(s, fake.detach())).mean()
    new = {}
    for n, g in zip(D_, grads(d_loss, [s[n] for n in D_])):
        adamish(new, s, n, agr(g))
    g_loss = softplus(-critic({**s, **{n: new[n].detach() for n in D_}}, generator(s, d["z"]))).mean()
    for n, g in zip(G_, grads(g_loss, [s[n] for n in G_])):
        adamish(new, s, n, agr(g))
    return new, {"d_loss": d_loss, "g_loss": g_loss}


@kind(GAN_STATE, data={**GAN_DATA, "eps": ((8, 1), "x")})
def wgan_gradient_penalty(s, d, agr):
    s = leaves(s, GD)
    fake = generator(s, d["z"]).detach()
    mixed = (d["eps"] * d["real"] + (1 - d["eps"]) * fake).requires_grad_()
    (slope,) = grads(critic(s, mixed).sum(), [mixed], create_graph=True)
    penalty = ((torch.sqrt((slope * slope).sum(1) + 1e-6) - 1) ** 2).mean()
    d_loss = critic(s, fake).mean() - critic(s, d["real"]).mean() + 10.0 * penalty
    new = {}
    for n, g in zip(D_, grads(d_loss, [s[n] for n in D_])):
        adamish(new, s, n, agr(g))
    g_loss = -critic({**s, **{n: new[n].detach() for n in D_}}, generator(s, d["z"])).mean()
    for n, g in zip(G_, grads(g_loss, [s[n] for n in G_])):
        adamish(new, s, n, agr(g))
    return new, {"critic_loss": d_loss, "generator_loss": g_loss, "penalty": penalty}


@kind(GAN_STATE, data=GAN_DATA)
def gan_with_r1(s, d, agr):
    s = leaves(s, GD)
    real = d["real"].detach().requires_grad_()
    scores = critic(s, real)
    (slope,) = grads(scores.sum(), [real], create_graph=True)
    fake = generator(s, d["z"])
    d_loss = softplus(-scores).mean() + softplus(critic(s, fake.detach())).mean() + 0.5 * (slope * slope).sum(1).mean()
    g_loss = softplus(-critic(s, fake)).mean()
    new = {}
    for n, g in zip(D_, grads(d_loss, [s[n] for n in D_], retain_graph=True)):
        adamish(new, s, n, agr(g))
    for n, g in zip(G_, grads(g_loss, [s[n] for n in G_])):
        adamish(new, s, n, agr(g))
    return new, {"loss_d": d_loss, "loss_g": g_loss}


@kind(GAN_STATE, data=GAN_DATA)
def gan_losses_added_up(s, d, agr):
    """Only the sum of both losses is given."""
    s = leaves(s, GD)
    fake = generator(s, d["z"])
    d_loss = softplus(-critic(s, d["real"])).mean() + softplus(critic(s, fake.detach())).mean()
    g_loss = softplus(-critic(s, fake)).mean()
    new = {}
    for n, g in zip(D_, grads(d_loss, [s[n] for n in D_])):
        adamish(new, s, n, agr(g))
    for n, g in zip(G_, grads(g_loss, [s[n] for n in G_])):
        adamish(new, s, n, agr(g))
    return new, {"loss": d_loss + g_loss}


KINDS["gan_losses_added_up"]["expect"] = "refused"

AC = {"trunk": ((4, 6), "w"), "pi": ((6, 3), "w"), "vf": ((6, 1), "w")}
AC_DATA = {"x": ((8, 4), "x"), "a": ((8,), ("int", 3)), "ret": ((8,), "x")}


@kind({"pi.w": ((4, 3), "w"), "vf.w": ((4, 1), "w"), "pi.w.buf": ((4, 3), "w"), "vf.w.buf": ((4, 1), "w")}, data=AC_DATA)
def actor_critic_two_losses(s, d, agr):
    s = leaves(s, ["pi.w", "vf.w"])
    value = (d["x"] @ s["vf.w"]).squeeze(1)
    advantage = (d["ret"] - value).detach()
    logp = F.log_softmax(d["x"] @ s["pi.w"], 1).gather(1, d["a"].unsqueeze(1)).squeeze(1)
    policy_loss, value_loss = -(logp * advantage).mean(), ((d["ret"] - value) ** 2).mean()
    new = {}
    momentum(new, s, "pi.w", agr(grads(policy_loss, [s["pi.w"]])[0]))
    momentum(new, s, "vf.w", agr(grads(value_loss, [s["vf.w"]])[0]))
    return new, {"policy_loss": policy_loss, "value_loss": value_loss}


@kind(AC, data={**AC_DATA, "adv": ((8,), "x"), "old": ((8,), "x")})
def ppo_shared_trunk(s, d, agr):
    s = leaves(s, AC)
    h = torch.tanh(d["x"] @ s["trunk"])
    logits = F.log_softmax(h @ s["pi"], 1)
    ratio = torch.exp(logits.gather(1, d["a"].unsqueeze(1)).squeeze(1) - 0.1 * d["old"] + 1)
    surrogate = torch.minimum(ratio * d["adv"], torch.clamp(ratio, 0.8, 1.2) * d["adv"])
    value = (h @ s["vf"]).squeeze(1)
    entropy = -(torch.exp(logits) * logits).sum(1).mean()
    pg, vf = -surrogate.mean(), ((d["ret"] - value) ** 2).mean()
    loss = pg + 0.5 * vf - 0.01 * entropy
    new = {n: s[n] - LR * agr(g) for n, g in zip(AC, grads(loss, [s[n] for n in AC]))}
    return new, {"loss": loss, "policy_loss": pg, "value_loss": vf, "entropy": entropy}


@kind(AC, data=AC_DATA, expect="refused")
def advantage_detached_in_one_loss(s, d, agr):
    s = leaves(s, AC)
    h = torch.tanh(d["x"] @ s["trunk"])
    value = (h @ s["vf"]).squeeze(1)
    logp = F.log_softmax(h @ s["pi"], 1).gather(1, d["a"].unsqueeze(1)).squeeze(1)
    loss = -(logp * (d["ret"] - value).detach()).mean() + ((d["ret"] - value) ** 2).mean()
    return {n: s[n] - LR * agr(g) for n, g in zip(AC, grads(loss, [s[n] for n in AC]))}, {"loss": loss}


@kind({**WITH_ADAM, **slots(acc="w"), "count": ((), 3.0)})
def multisteps_where(s, d, agr):
    s, loss, g = sloped(s, d)
    count = s["count"] + 1
    emit = torch.remainder(count, 4.0) == 0.0
    new = {"count": count}
    for p in P:
        total = s[p + ".acc"] + g[p] / 4
        made = {}
        adamish(made, s, p, agr(total))
        for n, v in made.items():
            new[n] = torch.where(emit, v, s[n])
        new[p + ".acc"] = torch.where(emit, torch.zeros_like(total), total)
    return new, {"loss": loss}


@kind({**WITH_ADAM, **slots(acc="w"), "count": ((), 3.0)})
def multisteps_running_mean(s, d, agr):
    """The accumulator is a mean: acc + (g - acc) / (n + 1)."""
    s, loss, g = sloped(s, d)
    n = torch.remainder(s["count"], 4.0)
    emit = n == 3.0
    new = {"count": s["count"] + 1}
    for p in P:
        mean = s[p + ".acc"] + (g[p] - s[p + ".acc"]) / (n + 1)
        made = {}
        adamish(made, s, p, agr(mean))
        for name, v in made.items():
            new[name] = torch.where(emit, v, s[name])
        new[p + ".acc"] = torch.where(emit, torch.zeros_like(mean), mean)
    return new, {"loss": loss}


@kind({**WITH_ADAM, "scale": ((), 64.0), "good": ((), 5.0)})
def loss_scaling_where(s, d, agr):
    s = leaves(s)
    loss = F.cross_entropy(net(s, d["x"]), d["y"])
    raw = grads(loss * s["scale"], [s[p] for p in P])
    finite = torch.stack([torch.isfinite(g).all() for g in raw]).all()
    good = torch.where(finite, s["good"] + 1, torch.zeros_like(s["good"]))
    grow = good >= 10.0
    scale = torch.where(finite, torch.where(grow, s["scale"] * 2, s["scale"]), s["scale"] * 0.5)
    new = {"scale": scale, "good": torch.where(grow, torch.zeros_like(good), good)}
    for p, g in zip(P, raw):
        made = {}
        adamish(made, s, p, agr(g / s["scale"]))
        for n, v in made.items():
            new[n] = torch.where(finite, v, s[n])
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM, "scale": ((), 64.0)})
def loss_scaling_by_multiplying_zero(s, d, agr):
    """The gradient is made zero where it is not finite; the scaled loss is what is given."""
    s = leaves(s)
    loss = F.cross_entropy(net(s, d["x"]), d["y"]) * s["scale"]
    new = {"scale": s["scale"] * 1.0}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        g = g * (1 / s["scale"])
        momentum(new, s, p, agr(torch.where(torch.isfinite(g), g, torch.zeros_like(g))))
    return new, {"scaled_loss": loss}


@kind({**{n: (v[0], "half") for n, v in NET.items()}, **{f"{p}.master": NET[p] for p in P}, **slots(m="w", v="pos")})
def half_with_masters(s, d, agr):
    s = leaves(s)
    out = net({n: s[n].to(torch.float32) for n in P}, d["x"])
    loss = F.cross_entropy(out, d["y"]) * 128.0
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        g = agr(g.to(torch.float32) / 128.0)
        m, v = B1 * s[p + ".m"] + (1 - B1) * g, B2 * s[p + ".v"] + (1 - B2) * g * g
        new[p + ".master"] = s[p + ".master"] - LR * m / (v.sqrt() + 1e-2)
        new[p + ".m"], new[p + ".v"], new[p] = m, v, new[p + ".master"].to(torch.float16)
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM})
def half_forward_of_float_weights(s, d, agr):
    s = leaves(s)
    out = net({p: s[p].to(torch.float16).to(torch.float32) for p in P}, d["x"])
    loss = F.cross_entropy(out, d["y"])
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        momentum(new, s, p, agr(g))
    return new, {"loss": loss}


@kind(WITH_ADAM)
def clipped_by_value(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        adamish(new, s, p, agr(torch.clamp(g[p], -0.02, 0.02)))
    return new, {"loss": loss}


@kind(WITH_ADAM)
def clipped_by_global_norm(s, d, agr):
    s, loss, g = sloped(s, d)
    total = torch.stack([g[p].norm() for p in P]).norm()
    factor = torch.clamp(0.1 / (total + 1e-6), max=1.0)
    new = {}
    for p in P:
        adamish(new, s, p, agr(g[p] * factor))
    return new, {"loss": loss, "grad_norm": total}


@kind(WITH_MOMENTUM)
def clipped_by_layer_norm_with_where(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        norm = g[p].norm()
        momentum(new, s, p, agr(torch.where(norm > 0.05, g[p] * (0.05 / norm), g[p])))
    return new, {"loss": loss}


@kind(WITH_MOMENTUM)
def clipped_by_unit_norms(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        dims = [0]
        own, size = torch.clamp((s[p] * s[p]).sum(dims, keepdim=True).sqrt(), min=1e-3), (g[p] * g[p]).sum(dims, keepdim=True).sqrt()
        momentum(new, s, p, agr(torch.where(size > 0.02 * own, g[p] * (0.02 * own / torch.clamp(size, min=1e-6)), g[p])))
    return new, {"loss": loss}


@kind(WITH_ADAM)
def clipped_by_infinity_norm(s, d, agr):
    s, loss, g = sloped(s, d)
    largest = torch.stack([g[p].abs().amax() for p in P]).amax()
    new = {}
    for p in P:
        adamish(new, s, p, agr(g[p] * torch.clamp(0.05 / largest, max=1.0)))
    return new, {"loss": loss}


@kind(WITH_ADAM)
def softly_clipped_by_tanh(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        adamish(new, s, p, agr(0.05 * torch.tanh(g[p] / 0.05)))
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM}, data={**XY, **{f"noise.{p}": (NET[p][0], "x") for p in P}})
def gradient_noise(s, d, agr):
    """Noise stands behind AGR: the gradient is regularized, not what is added to it."""
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        momentum(new, s, p, agr(g[p]) + 0.01 * d[f"noise.{p}"])
    return new, {"loss": loss}


@kind(WITH_MOMENTUM)
def centralized_over_last_axes(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        momentum(new, s, p, agr(g[p] - g[p].mean(1, keepdim=True) if g[p].dim() > 1 else g[p]))
    return new, {"loss": loss}


@kind(WITH_ADAM)
def centralized_then_clipped(s, d, agr):
    s, loss, g = sloped(s, d)
    g = {p: v - v.mean(0, keepdim=True) if v.dim() > 1 else v for p, v in g.items()}
    total = torch.sqrt(sum((v * v).sum() for v in g.values()))
    new = {}
    for p in P:
        adamish(new, s, p, agr(g[p] * torch.clamp(0.1 / (total + 1e-6), max=1.0)))
    return new, {"loss": loss}


@kind(WITH_MOMENTUM)
def weight_standardization(s, d, agr):
    s = leaves(s)
    w = s["fc1.weight"]
    normal = {**s, "fc1.weight": (w - w.mean(0)) / torch.sqrt(((w - w.mean(0)) ** 2).mean(0) + 1e-5)}
    loss = F.cross_entropy(net(normal, d["x"]), d["y"])
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        momentum(new, s, p, agr(g))
    return new, {"loss": loss}


@kind({"v": ((4, 3), "w"), "g": ((3,), "w"), "b": ((3,), "w")})
def weight_norm(s, d, agr):
    s = leaves(s, ["v", "g", "b"])
    w = s["v"] / torch.sqrt((s["v"] * s["v"]).sum(0)) * s["g"]
    loss = F.cross_entropy(d["x"] @ w + s["b"], d["y"])
    return {n: s[n] - LR * agr(g) for n, g in zip(["v", "g", "b"], grads(loss, [s["v"], s["g"], s["b"]]))}, {"loss": loss}


@kind({**NET, "fc1.u": ((4,), "w")})
def spectral_norm_power_iteration(s, d, agr):
    s = leaves(s)
    w = s["fc1.weight"]
    v = (w.detach() * s["fc1.u"].unsqueeze(1)).sum(0)
    v = v / v.norm()
    u = (w.detach() * v).sum(1)
    u = u / u.norm()
    sigma = (u * (w * v).sum(1)).sum()
    loss = F.cross_entropy(net({**s, "fc1.weight": w / sigma}, d["x"]), d["y"])
    return {"fc1.u": u, **{p: s[p] - LR * agr(g) for p, g in zip(P, grads(loss, [s[p] for p in P]))}}, {"loss": loss}


KINDS["spectral_norm_power_iteration"]["expect"] = "refused"


@kind(WITH_ADAM)
def penalties_in_the_loss(s, d, agr):
    s = leaves(s)
    data = F.cross_entropy(net(s, d["x"]), d["y"])
    penalty = 0.01 * sum((s[p] ** 2).sum() for p in P) + 0.001 * s["fc1.weight"].abs().sum()
    loss = data + penalty
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        adamish(new, s, p, agr(g))
    return new, {"loss": loss, "data_loss": data}


@kind(WITH_ADAM)
def penalty_trained_but_not_told(s, d, agr):
    """The loss that is given is the data's alone: what is trained beside it is weight decay."""
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        adamish(new, s, p, agr(g[p]) + 0.1 * s[p])
    return new, {"data_loss": loss}


@kind(WITH_ADAM)
def smoothing_trained_but_not_told(s, d, agr):
    """Trains with smoothed labels and gives the plain cross entropy."""
    s = leaves(s)
    logits = F.log_softmax(net(s, d["x"]), 1)
    told = -logits.gather(1, d["y"].unsqueeze(1)).mean()
    loss = 0.5 * told - 0.5 * logits.mean()
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        adamish(new, s, p, agr(g))
    return new, {"loss": told}


KINDS["smoothing_trained_but_not_told"]["expect"] = "refused"


@kind(WITH_MOMENTUM)
def two_batches_one_loss_told(s, d, agr):
    s = leaves(s)
    first = F.cross_entropy(net(s, d["x"][:4]), d["y"][:4])
    second = F.cross_entropy(net(s, d["x"][4:]), d["y"][4:])
    new = {}
    for p, a, b in zip(P, grads(first, [s[p] for p in P]), grads(second, [s[p] for p in P])):
        momentum(new, s, p, agr((a + b) / 2))
    return new, {"loss": second}


KINDS["two_batches_one_loss_told"]["expect"] = "refused"


@kind(WITH_MOMENTUM)
def two_batches_mean_loss(s, d, agr):
    s = leaves(s)
    first = F.cross_entropy(net(s, d["x"][:4]), d["y"][:4])
    second = F.cross_entropy(net(s, d["x"][4:]), d["y"][4:])
    new = {}
    for p, a, b in zip(P, grads(first, [s[p] for p in P]), grads(second, [s[p] for p in P])):
        momentum(new, s, p, agr((a + b) / 2))
    return new, {"loss": (first + second) / 2}


@kind({"embed": ((7, 4), "w"), "embed.m": ((7, 4), "w"), "embed.v": ((7, 4), "pos"), "mid": ((4, 4), "w"), "mid.m": ((4, 4), "w"), "mid.v": ((4, 4), "pos")}, data={"ids": ((8,), ("int", 7)), "y": ((8,), ("int", 7))})
def tied_embedding(s, d, agr):
    s = leaves(s, ["embed", "mid"])
    logits = torch.tanh(F.embedding(d["ids"], s["embed"]) @ s["mid"]) @ s["embed"].t()
    loss = F.cross_entropy(logits, d["y"])
    new = {}
    for p, g in zip(["embed", "mid"], grads(loss, [s["embed"], s["mid"]])):
        adamish(new, s, p, agr(g))
    return new, {"loss": loss}


@kind({**NET, **{f"{p}.buf": (NET[p][0], "w") for p in P[2:]}})
def frozen_layer_passed_through(s, d, agr):
    s = leaves(s, P[2:])
    loss = F.cross_entropy(net(s, d["x"]), d["y"])
    new = {p: s[p] * 1.0 if False else s[p] for p in P[:2]}
    for p, g in zip(P[2:], grads(loss, [s[p] for p in P[2:]])):
        momentum(new, s, p, agr(g))
    return new, {"loss": loss}


@kind({**{p: NET[p] for p in P[2:]}}, data={**XY, **{p: NET[p] for p in P[:2]}})
def frozen_layer_as_data(s, d, agr):
    s = leaves(s)  if False else {**leaves(s, P[2:]), **{p: d[p] for p in P[:2]}}
    loss = F.cross_entropy(net(s, d["x"]), d["y"])
    return {p: s[p] - LR * agr(g) for p, g in zip(P[2:], grads(loss, [s[p] for p in P[2:]]))}, {"loss": loss}


@kind({**WITH_MOMENTUM, "bn.gamma": ((6,), "w"), "bn.beta": ((6,), "w"), "bn.running_mean": ((6,), "w"), "bn.running_var": ((6,), "pos"), "bn.num_batches": ((), 7.0)})
def batch_norm(s, d, agr):
    s = leaves(s, P + ["bn.gamma", "bn.beta"])
    h = d["x"] @ s["fc1.weight"] + s["fc1.bias"]
    mean = h.mean(0)
    var = ((h - mean) ** 2).mean(0)
    h = torch.tanh((h - mean) / torch.sqrt(var + 1e-5) * s["bn.gamma"] + s["bn.beta"])
    loss = F.cross_entropy(h @ s["fc2.weight"] + s["fc2.bias"], d["y"])
    new = {"bn.running_mean": s["bn.running_mean"].lerp(mean.detach(), 0.1), "bn.running_var": s["bn.running_var"].lerp(var.detach() * 8 / 7, 0.1), "bn.num_batches": s["bn.num_batches"] + 1}
    trained = P + ["bn.gamma", "bn.beta"]
    for p, g in zip(trained, grads(loss, [s[p] for p in trained])):
        if p.startswith("bn"):
            new[p] = s[p] - LR * agr(g)
        else:
            momentum(new, s, p, agr(g))
    return new, {"loss": loss}


KINDS["batch_norm"]["skip_outputs"] = ("fc1.bias_out", "fc1.bias.buf_out")


@kind({**WITH_MOMENTUM, "seed": ((), 3.0)})
def dropout_seed_as_state(s, d, agr):
    s = leaves(s)
    seed = torch.remainder(s["seed"] * 1.7 + 0.3, 10.0)
    where = torch.arange(48, dtype=s["seed"].dtype).view(8, 6)
    keep = (torch.sin(where * 12.9 + seed) > -0.3).to(s["seed"].dtype)
    h = torch.tanh(d["x"] @ s["fc1.weight"] + s["fc1.bias"]) * keep / 0.6
    loss = F.cross_entropy(h @ s["fc2.weight"] + s["fc2.bias"], d["y"])
    new = {"seed": seed}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        momentum(new, s, p, agr(g))
    return new, {"loss": loss}


@kind({"cell": ((7, 12), "w"), "out": ((3, 3), "w"), "h": ((2, 3), "w"), "c": ((2, 3), "w")}, data={"x": ((3, 2, 4), "x"), "y": ((2,), ("int", 3))})
def lstm_state_carried(s, d, agr):
    s = leaves(s, ["cell", "out"])
    h, c = s["h"], s["c"]
    for t in range(3):
        gates = torch.cat([d["x"][t], h], 1) @ s["cell"]
        i, f, o, g = gates[:, :3], gates[:, 3:6], gates[:, 6:9], gates[:, 9:]
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    loss = F.cross_entropy(h @ s["out"], d["y"])
    new = {n: s[n] - LR * agr(g) for n, g in zip(["cell", "out"], grads(loss, [s["cell"], s["out"]]))}
    return {**new, "h": h.detach(), "c": c.detach()}, {"loss": loss}


@kind({**WITH_ADAM, "step": ((), 30.0)})
def schedule_by_counter(s, d, agr):
    s, loss, g = sloped(s, d)
    t = s["step"] + 1
    warm = torch.clamp(t / 10.0, max=1.0)
    rate = LR * warm * 0.5 * (1 + torch.cos(math.pi * torch.clamp(t / 100.0, max=1.0)))
    new = {"step": t}
    for p in P:
        m, v = B1 * s[p + ".m"] + (1 - B1) * agr(g[p]), None
        v = B2 * s[p + ".v"] + (1 - B2) * agr(g[p]) ** 2
        new[p], new[p + ".m"], new[p + ".v"] = s[p] * (1 - rate * 0.1) - rate * m / (v.sqrt() + 1e-3), m, v
    return new, {"loss": loss, "lr": rate}


SCRAMBLED = {n: f"t{(7 * i + 3) % 101}" for i, n in enumerate(WITH_ADAM)}


@kind({SCRAMBLED[n]: v for n, v in WITH_ADAM.items()}, data={"in_x": XY["x"], "in_y": XY["y"]}, names=lambda n: f"r{(int(n[1:]) * 13 + 5) % 211}")
def scrambled_names(s, d, agr):
    back = {n: s[SCRAMBLED[n]] for n in WITH_ADAM}
    back, loss, g = sloped(back, {"x": d["in_x"], "y": d["in_y"]})
    new = {}
    for p in P:
        adamish(new, back, p, agr(g[p]))
    return {SCRAMBLED[n]: v for n, v in new.items()}, {"output_0": loss}


@kind({SCRAMBLED[n]: v for n, v in WITH_MOMENTUM.items() if n in SCRAMBLED} | {"q" + str(i): (NET[p][0], "w") for i, p in enumerate(P)}, data={"in_x": XY["x"], "in_y": XY["y"]}, names=lambda n: "z" + n)
def scrambled_momentum(s, d, agr):
    back = {**{p: s[SCRAMBLED[p]] for p in P}, **{p + ".buf": s["q" + str(i)] for i, p in enumerate(P)}}
    back, loss, g = sloped(back, {"x": d["in_x"], "y": d["in_y"]})
    new = {}
    for p in P:
        momentum(new, back, p, agr(g[p]))
    return {**{SCRAMBLED[p]: new[p] for p in P}, **{"q" + str(i): new[p + ".buf"] for i, p in enumerate(P)}}, {"value": loss, "aux": loss * 0 + 1.0}


@kind({"theta": ((51,), "w"), "theta.m": ((51,), "w"), "theta.v": ((51,), "pos")})
def everything_in_one_vector(s, d, agr):
    s = leaves(s, ["theta"])
    parts, at = {}, 0
    for p in P:
        shape = NET[p][0]
        size = math.prod(shape)
        parts[p] = s["theta"][at : at + size].view(shape)
        at += size
    loss = F.cross_entropy(net(parts, d["x"]), d["y"])
    (g,) = grads(loss, [s["theta"]])
    pieces, at = [], 0
    for p in P:
        size = math.prod(NET[p][0])
        pieces.append(agr(g[at : at + size].view(NET[p][0])).reshape(-1))
        at += size
    new = {}
    adamish(new, s, "theta", torch.cat(pieces))
    return new, {"loss": loss}


@kind(WITH_ADAM)
def extra_scalars(s, d, agr):
    s, loss, g = sloped(s, d)
    out = net(s, d["x"]).detach()
    accuracy = (out.argmax(1) == d["y"]).to(torch.float32).mean()
    confidence = F.softmax(out, 1).amax(1).mean()
    new = {}
    for p in P:
        adamish(new, s, p, agr(g[p]))
    size = torch.sqrt(sum((new[p] * new[p]).sum() for p in P))
    return new, {"accuracy": accuracy, "objective": loss.detach(), "confidence": confidence, "weight_norm": size}


@kind(WITH_ADAM)
def perplexity_alone(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        adamish(new, s, p, agr(g[p]))
    return new, {"perplexity": torch.exp(loss)}


@kind({**WITH_ADAM, "loss_ema": ((), 1.0)})
def smoothed_loss_as_state(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {"loss_ema": 0.9 * s["loss_ema"] + 0.1 * loss.detach()}
    for p in P:
        adamish(new, s, p, agr(g[p]))
    return new, {"loss": loss}


@kind({**WITH_ADAM, "loss_ema": ((), 1.0)})
def only_the_smoothed_loss(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {"loss_ema": 0.9 * s["loss_ema"] + 0.1 * loss.detach()}
    for p in P:
        adamish(new, s, p, agr(g[p]))
    return new, {}


KINDS["only_the_smoothed_loss"]["expect"] = "any"


@kind(WITH_MOMENTUM)
def reward_maximized(s, d, agr):
    s = leaves(s)
    reward = -F.cross_entropy(net(s, d["x"]), d["y"])
    new = {}
    for p, g in zip(P, grads(reward, [s[p] for p in P])):
        buffer = 0.9 * s[p + ".buf"] + agr(g)
        new[p], new[p + ".buf"] = s[p] + LR * buffer, buffer
    return new, {"reward": reward}


@kind({**{p: NET[p] for p in P}, **slots(buf="w")}, data={**XY, "lr_body": ((), 0.03), "lr_head": ((), 0.3)})
def parameter_groups(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        used = agr(g[p]) + (0.01 * s[p] if "weight" in p else 0)
        buffer = 0.9 * s[p + ".buf"] + used
        new[p], new[p + ".buf"] = s[p] - d["lr_head" if "fc2" in p else "lr_body"] * buffer, buffer
    return new, {"loss": loss}


@kind(WITH_MOMENTUM)
def gradients_reported(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        momentum(new, s, p, agr(g[p]))
    return new, {"loss": loss, **{f"grad.{p}": g[p] * 1.0 for p in P}}


@kind({"w": ((4, 3), "w"), "v": ((4, 2), "w"), "log_var": ((2,), "w")}, data={**XY, "t": ((8, 2), "x")})
def learned_task_weights(s, d, agr):
    names = ["w", "v", "log_var"]
    s = leaves(s, names)
    first, second = F.cross_entropy(d["x"] @ s["w"], d["y"]), F.mse_loss(d["x"] @ s["v"], d["t"])
    weights = torch.exp(-s["log_var"])
    loss = weights[0] * first + weights[1] * second + s["log_var"].sum()
    return {n: s[n] - LR * agr(g) for n, g in zip(names, grads(loss, [s[n] for n in names]))}, {"loss": loss, "ce": first, "mse": second}


@kind(NET, data={**XY, "qx": ((8, 4), "x"), "qy": ((8,), ("int", 3))})
def maml_inner_step(s, d, agr):
    s = leaves(s)
    inner = F.cross_entropy(net(s, d["x"]), d["y"])
    fast = {p: s[p] - 0.1 * g for p, g in zip(P, grads(inner, [s[p] for p in P], create_graph=True))}
    loss = F.cross_entropy(net(fast, d["qx"]), d["qy"])
    return {p: s[p] - LR * agr(g) for p, g in zip(P, grads(loss, [s[p] for p in P]))}, {"loss": loss, "inner_loss": inner}


@kind(NET, data={**XY, "qx": ((8, 4), "x"), "qy": ((8,), ("int", 3))}, expect="refused")
def first_order_maml(s, d, agr):
    s = leaves(s)
    inner = F.cross_entropy(net(s, d["x"]), d["y"])
    fast = leaves({p: (s[p] - 1.0 * g).detach() for p, g in zip(P, grads(inner, [s[p] for p in P]))})
    loss = F.cross_entropy(net(fast, d["qx"]), d["qy"])
    return {p: s[p] - LR * agr(g) for p, g in zip(P, grads(loss, [fast[p] for p in P]))}, {"loss": loss}


@kind({**WITH_MOMENTUM, **prefixed("key."), "queue": ((16, 3), "w")}, data={"x": ((8, 4), "x"), "x2": ((8, 4), "x")})
def moco_queue(s, d, agr):
    s = leaves(s)
    q = F.normalize(net(s, d["x"]), dim=1)
    k = F.normalize(net(s, d["x2"], "key."), dim=1).detach()
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ s["queue"].t()], 1) / 0.5
    loss = -F.log_softmax(logits, 1)[:, 0].mean()
    new = {"queue": torch.cat([k, s["queue"][:8]], 0)}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        momentum(new, s, p, agr(g))
        new["key." + p] = 0.99 * s["key." + p] + 0.01 * s[p].detach()
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM, **prefixed("swa."), "n": ((), 4.0)})
def stochastic_weight_averaging(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {"n": s["n"] + 1}
    for p in P:
        momentum(new, s, p, agr(g[p]))
        new["swa." + p] = s["swa." + p] + (new[p] - s["swa." + p]) / (s["n"] + 1)
    return new, {"loss": loss}


@kind({**NET, **slots(p0="w", s="w"), "d": ((), 0.1), "r": ((), 0.2)}, expect="any")
def distance_adapted_rate(s, d, agr):
    """D-Adaptation: the rate is state that grows with what the gradients say of the way so far."""
    s, loss, g = sloped(s, d)
    new, top, total = {}, 0.0, 0.0
    for p in P:
        used = agr(g[p])
        top = top + (used * (s[p + ".p0"] - s[p])).sum()
        new[p + ".s"] = s[p + ".s"] + s["d"] * used
        total = total + new[p + ".s"].abs().sum()
        new[p + ".p0"] = s[p + ".p0"]
        new[p] = s[p] - s["d"] * LR * used
    r = s["r"] + s["d"] * top
    return {**new, "r": r, "d": torch.maximum(s["d"], r / total)}, {"loss": loss}


@kind(NET)
def polyak_step_size(s, d, agr):
    s, loss, g = sloped(s, d)
    used = {p: agr(g[p]) for p in P}
    rate = torch.clamp(loss.detach() / (sum((v * v).sum() for v in used.values()) + 1e-6), max=0.2)
    return {p: s[p] - rate * used[p] for p in P}, {"loss": loss}


@kind({**NET, "cov": ((4,), "pos")}, expect="any")
def preconditioned_by_activations(s, d, agr):
    s, loss, g = sloped(s, d)
    cov = 0.9 * s["cov"] + 0.1 * (d["x"] * d["x"]).mean(0)
    new = {p: s[p] - LR * agr(g[p]) for p in P[1:]}
    new["fc1.weight"] = s["fc1.weight"] - LR * agr(g["fc1.weight"]) / (cov.sqrt() + 0.1).unsqueeze(1)
    return {**new, "cov": cov}, {"loss": loss}


@kind({**NET, **slots(m="w", h="pos"), "step": ((), 9.0)}, expect="any")
def sophia_gauss_newton(s, d, agr):
    s = leaves(s)
    logits = net(s, d["x"])
    loss = F.cross_entropy(logits, d["y"])
    g = grads(loss, [s[p] for p in P], retain_graph=True)
    sampled = F.cross_entropy(logits, logits.detach().argmax(1))
    g2 = grads(sampled, [s[p] for p in P])
    t = s["step"] + 1
    every = torch.remainder(t, 10.0) == 0.0
    new = {"step": t}
    for p, a, b in zip(P, g, g2):
        m = 0.96 * s[p + ".m"] + 0.04 * agr(a)
        h = torch.where(every, 0.99 * s[p + ".h"] + 0.01 * 8 * b * b, s[p + ".h"])
        new[p], new[p + ".m"], new[p + ".h"] = s[p] * (1 - LR * 0.1) - LR * torch.clamp(m / (0.4 * h + 1e-3), -1.0, 1.0), m, h
    return new, {"loss": loss}


@kind({**NET, **slots(m="w", h="pos")})
def sophia_like_of_one_gradient(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        used = agr(g[p])
        m, h = 0.96 * s[p + ".m"] + 0.04 * used, 0.99 * s[p + ".h"] + 0.01 * used * used
        new[p], new[p + ".m"], new[p + ".h"] = s[p] * (1 - LR * 0.1) - LR * torch.clamp(m / torch.clamp(0.4 * h, min=1e-3), -1.0, 1.0), m, h
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM}, expect="refused")
def simsiam_stop_gradient(s, d, agr):
    s = leaves(s)
    z1, z2 = net(s, d["x"]), net(s, d["x"] * 0.5 + 0.3)
    loss = -((z1 * z2.detach()).sum(1) / (z1.norm(dim=1) * z2.detach().norm(dim=1) + 1e-2)).mean()
    new = {}
    for p, g in zip(P, grads(loss, [s[p] for p in P])):
        momentum(new, s, p, agr(g))
    return new, {"loss": loss}


@kind({"w": ((4, 3), "w"), "b": ((3,), "w")})
def straight_through_rounding(s, d, agr):
    s = leaves(s, ["w", "b"])
    q = s["w"] + (torch.round(s["w"] * 4) / 4 - s["w"]).detach()
    loss = F.cross_entropy(d["x"] @ q + s["b"], d["y"])
    return {n: s[n] - LR * agr(g) for n, g in zip(["w", "b"], grads(loss, [s["w"], s["b"]]))}, {"loss": loss}


@kind({**NET}, data={**XY, "mask": ((4, 6), ("int", 2))})
def masked_updates(s, d, agr):
    """Pruned weights stay where they are: the update is masked."""
    s, loss, g = sloped(s, d)
    new = {p: s[p] - LR * agr(g[p]) for p in P}
    new["fc1.weight"] = s["fc1.weight"] - LR * agr(g["fc1.weight"]) * d["mask"].to(torch.float32)
    return new, {"loss": loss}


@kind({**NET}, data={**XY, "mask": ((4, 6), ("int", 2))}, expect="any")
def pruned_network(s, d, agr):
    """The network reads masked weights, and the gradient has the mask in it."""
    s = leaves(s)
    keep = d["mask"].to(s["fc1.weight"].dtype)
    loss = F.cross_entropy(net({**s, "fc1.weight": s["fc1.weight"] * keep}, d["x"]), d["y"])
    return {p: s[p] - LR * agr(g) for p, g in zip(P, grads(loss, [s[p] for p in P]))}, {"loss": loss}


@kind({"base": ((4, 3), "w"), "lora_a": ((4, 2), "w"), "lora_b": ((2, 3), "w")})
def lora_of_a_frozen_base(s, d, agr):
    s = leaves(s, ["lora_a", "lora_b"])
    loss = F.cross_entropy(d["x"] @ s["base"] + d["x"] @ s["lora_a"] @ s["lora_b"] * 2.0, d["y"])
    made = {n: s[n] - LR * agr(g) for n, g in zip(["lora_a", "lora_b"], grads(loss, [s["lora_a"], s["lora_b"]]))}
    return {"base": s["base"], **made}, {"loss": loss}


@kind({**WITH_MOMENTUM}, expect="any")
def projected_onto_a_ball(s, d, agr):
    """Weights are kept within a norm after the step."""
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        momentum(new, s, p, agr(g[p]))
        new[p] = new[p] * torch.clamp(1.0 / (new[p].norm() + 1e-6), max=1.0)
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM}, expect="any")
def weights_clipped_after_the_step(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        momentum(new, s, p, agr(g[p]))
        new[p] = torch.clamp(new[p], -0.4, 0.4)
    return new, {"loss": loss}


@kind({**NET, **slots(z="w"), "step": ((), 4.0)})
def schedule_free(s, d, agr):
    y = {p: (0.1 * s[p + ".z"] + 0.9 * s[p]).detach() for p in P}
    y = leaves(y)
    loss = F.cross_entropy(net(y, d["x"]), d["y"])
    c = 1 / (s["step"] + 1)
    new = {"step": s["step"] + 1}
    for p, g in zip(P, grads(loss, [y[p] for p in P])):
        z = s[p + ".z"] - LR * agr(g)
        new[p + ".z"], new[p] = z, (1 - c) * s[p] + c * z
    return new, {"loss": loss}


@kind(WITH_ADAM)
def update_clipped_behind_adam(s, d, agr):
    s, loss, g = sloped(s, d)
    new, made = {}, {}
    for p in P:
        adamish(new, s, p, agr(g[p]))
        made[p] = new[p] - s[p]
    total = torch.sqrt(sum((v * v).sum() for v in made.values()))
    for p in P:
        new[p] = s[p] + made[p] * torch.clamp(0.05 / (total + 1e-6), max=1.0)
    return new, {"loss": loss}


@kind({**WITH_MOMENTUM})
def sign_of_momentum_with_layer_scale(s, d, agr):
    s, loss, g = sloped(s, d)
    new = {}
    for p in P:
        buf = 0.9 * s[p + ".buf"] + 0.1 * agr(g[p])
        new[p + ".buf"], new[p] = buf, s[p] - LR * buf.abs().mean() * buf.sign()
    return new, {"loss": loss}


@kind(NET)
def line_search_of_two_rates(s, d, agr):
    """Takes of two rates the one with the smaller loss."""
    s, loss, g = sloped(s, d)
    used = {p: agr(g[p]) for p in P}
    small, large = ({p: (s[p] - rate * used[p]).detach() for p in P} for rate in (0.01, 0.5))
    a, b = (F.cross_entropy(net(each, d["x"]), d["y"]) for each in (small, large))
    return {p: torch.where(a < b, small[p], large[p]) for p in P}, {"loss": loss, "loss_after": torch.minimum(a, b)}


KINDS["line_search_of_two_rates"]["expect"] = "any"


@kind(NET, expect="any")
def extragradient(s, d, agr):
    s, loss, g = sloped(s, d)
    half = leaves({p: (s[p] - LR * g[p]).detach() for p in P})
    second = F.cross_entropy(net(half, d["x"]), d["y"])
    return {p: s[p] - LR * agr(v) for p, v in zip(P, grads(second, [half[p] for p in P]))}, {"loss": second}


@kind({**NET, **slots(snap="w", mu="w")}, expect="any")
def variance_reduced_svrg(s, d, agr):
    """g(w) - g(snapshot) + mean gradient: what the optimizer uses is not one derivative."""
    s, loss, g = sloped(s, d)
    snap = leaves({p: s[p + ".snap"] for p in P})
    before = grads(F.cross_entropy(net(snap, d["x"]), d["y"]), [snap[p] for p in P])
    new = {}
    for p, b in zip(P, before):
        new[p] = s[p] - LR * (agr(g[p]) - b + s[p + ".mu"])
        new[p + ".snap"], new[p + ".mu"] = s[p + ".snap"], s[p + ".mu"]
    return new, {"loss": loss}


# --- the same with cautious masks, for insert --cautious -------------------------------------------------------------


def cautiously(update, g):
    """What points against the gradient is left out, the rest scaled (arXiv 2411.16085); an update is what is taken from a parameter."""
    mask = (update * g > 0.0).to(update.dtype)
    return update * mask / mask.mean().clamp(min=1e-3)


def adamw_masked(p, g, o, t):
    made, new = adam_torch(p, g, o, t)
    kept = p * (1 - LR * 0.1)
    return kept - cautiously(kept - made, g), new


def lion_masked(p, g, o, t):
    made, new = lion(p, g, o, t)
    kept = p - LR * 0.1 * p
    return kept - cautiously(LR * (0.9 * o["m"] + 0.1 * g).sign(), g), new


def adan_masked(p, g, o, t):
    made, new = adan(p, g, o, t)
    kept = p * (1 - LR * 0.02)
    return kept - cautiously(kept - made, g), new


def velocity_masked(p, g, o, t):
    v = 0.9 * o["velocity"] - LR * g
    return p - cautiously(-v, g), dict(velocity=v)


CAUTIOUS = {
    "adamw_capturable": optimizer(adamw_masked),
    "lion_decay_in_the_update": optimizer(lion_masked),
    "adan_of_its_authors": optimizer(adan_masked),
    "momentum_as_velocity": optimizer(velocity_masked),
}
