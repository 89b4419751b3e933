"""Cases of gradients: one node, its inputs, random weights for each output, and the gradients of sum(weights * outputs) as PyTorch
has them in float64. Inputs are kept away from kinks and ties.

Every case draws from a generator of its own, so that a case that is added or changed leaves the others as they are.
"""

import numpy as np
import torch

torch.set_default_dtype(torch.float64)

SEED = 20240716
draw = np.random.default_rng(SEED)
CASES = []
SINGLE = {}


def real(*shape, low=-1.5, high=1.5):
    return draw.uniform(low, high, shape)


def apart(*shape):
    """All elements differ by 0.1 or more, so that no finite difference changes an order."""
    size = int(np.prod(shape))
    return (draw.permutation(size) * 0.13 - size * 0.065 + 0.031).reshape(shape)


def away(*shape, kinks=(0.0,), margin=0.1, low=-2.0, high=2.0):
    values = draw.uniform(low, high, shape)
    for kink in kinks:
        near = np.abs(values - kink) < margin
        values = np.where(near, kink + np.where(values < kink, -margin, margin) * 1.5, values)
    return values


def ints(*values):
    return np.array(values, dtype=np.int64)


def below(end, *shape):
    """Whole numbers from zero on."""
    return draw.integers(0, end, shape)


def single(operators, only=None):
    """Says of operators that they have no float64 kernel, so that PyTorch's numbers stand alone. `only`: in the cases of these titles."""
    SINGLE.update({op: only for op in operators.split()})


def case(op, inputs, attrs, of, wrt=None, opset=17, domain="", title="", outputs=1, static=(), open=None, dynamic=True):
    """One node and what PyTorch makes of it.

    inputs: numpy arrays by name, in the node's order; None is left out.
    attrs: the node's attributes. Their kind is that of the Python value: write 1.0 for a float attribute of 1.
    of: gets torch tensors in the order of the inputs, and gives the outputs.
    wrt: inputs to differentiate by; the floating-point ones where it is not given. The others are constants of the model.
    outputs: how many of the outputs count.
    static: inputs whose shapes the rule must know. open: the axes that may be symbols, where not all may. dynamic: False where
    the rule needs all shapes.
    """
    global draw
    leaves = {}
    for name, value in inputs.items():
        if value is None:
            continue
        tensor = torch.tensor(value)
        if tensor.is_floating_point() and (wrt is None or name in wrt):
            tensor.requires_grad_(True)
        leaves[name] = tensor
    made = of(*[leaves.get(name) for name in inputs])
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    made = made[:outputs]
    weights = [torch.tensor(draw.uniform(-1, 1, tuple(y.shape))) for y in made]
    loss = sum((y * w).sum() for y, w in zip(made, weights))
    asked = [name for name, tensor in leaves.items() if tensor.requires_grad]
    grads = torch.autograd.grad(loss, [leaves[name] for name in asked])
    if not any(g.any() for g in grads):
        raise ValueError(f"{op}, {title}: every gradient is zero, which says nothing")
    name = f"{domain}.{op}" if domain else op
    is_single = name in SINGLE and (SINGLE[name] is None or title in SINGLE[name])
    CASES.append(
        {
            "op": op,
            "title": title,
            "domain": domain,
            "opset": opset,
            "single": "no float64 kernel" if is_single else None,
            "attributes": {name: kinded(value) for name, value in attrs.items()},
            "inputs": [packed(name, inputs[name]) for name in inputs],
            "static": list(static),
            "open": open,
            "dynamic": dynamic,
            "outputs": [plain(y.detach().numpy()) for y in made],
            "weights": [plain(w.numpy()) for w in weights],
            "gradients": {name: plain(g.numpy()) for name, g in zip(asked, grads)},
        }
    )
    draw = np.random.default_rng(SEED)


def kinded(value):
    """An attribute's value, under its kind."""
    [element, *_] = value if isinstance(value, list) else [value]
    kind = {float: "float", int: "int", str: "string"}[type(element)]
    return {kind + ("s" if isinstance(value, list) else ""): value}


def plain(array):
    return {"dims": list(array.shape), "data": [float(f"{v:.9g}") for v in np.asarray(array, dtype=np.float64).ravel()]}


def packed(name, value):
    if value is None:
        return None
    kind = {"float64": "float", "int64": "int64", "int32": "int32", "bool": "bool"}[value.dtype.name]
    data = [float(f"{v:.9g}") for v in value.ravel()] if kind == "float" else [int(v) for v in value.ravel()]
    return {"name": name, "type": kind, "dims": list(value.shape), "data": data}


def int32s(*values):
    return np.array(values, dtype=np.int32)


def unary(op, of, value, attrs=None, **more):
    case(op, {"x": value}, attrs or {}, of, **more)
