"""Operators of elements at the same place."""

import numpy as np
import torch
import torch.nn.functional as F
from case import apart, away, case, real, single, unary

single("Acos Asin Atan")

unary("Neg", lambda x: -x, real(2, 3))
unary("Identity", lambda x: x * 1, real(2, 3))
unary("Abs", torch.abs, away(2, 4))
unary("Reciprocal", torch.reciprocal, away(2, 4, margin=0.4))
unary("Sqrt", torch.sqrt, real(2, 3, low=0.3, high=2))
unary("Exp", torch.exp, real(2, 3))
unary("Log", torch.log, real(2, 3, low=0.3, high=2))
unary("Sin", torch.sin, real(2, 3))
unary("Cos", torch.cos, real(2, 3))
unary("Tan", torch.tan, real(2, 3, low=-1, high=1))
unary("Sinh", torch.sinh, real(2, 3))
unary("Cosh", torch.cosh, real(2, 3))
unary("Asin", torch.asin, real(2, 3, low=-0.8, high=0.8))
unary("Acos", torch.acos, real(2, 3, low=-0.8, high=0.8))
unary("Atan", torch.atan, real(2, 3))
unary("Asinh", torch.asinh, real(2, 3))
unary("Acosh", torch.acosh, real(2, 3, low=1.3, high=3))
unary("Atanh", torch.atanh, real(2, 3, low=-0.8, high=0.8))
unary("Tanh", torch.tanh, real(2, 3))
unary("Sigmoid", torch.sigmoid, real(2, 3))
unary("Erf", torch.erf, real(2, 3))
unary("Softplus", F.softplus, real(2, 3))
unary("Softsign", F.softsign, away(2, 3))
unary("Relu", torch.relu, away(2, 4))
unary("ThresholdedRelu", lambda x: F.threshold(x, 0.7, 0.0), away(2, 4, kinks=(0.7,)), {"alpha": 0.7})
unary("LeakyRelu", lambda x: F.leaky_relu(x, 0.2), away(2, 4), {"alpha": 0.2})
unary("Elu", lambda x: F.elu(x, 1.3), away(2, 4), {"alpha": 1.3})
unary("Selu", F.selu, away(2, 4))
unary("Celu", lambda x: F.celu(x, 0.7), away(2, 4), {"alpha": 0.7})
unary("HardSigmoid", lambda x: torch.clamp(0.3 * x + 0.4, 0, 1), away(2, 5, kinks=(-4 / 3, 2.0), low=-3, high=3), {"alpha": 0.3, "beta": 0.4})
unary("HardSwish", F.hardswish, away(2, 5, kinks=(-3.0, 3.0), low=-5, high=5))
unary("Mish", F.mish, real(2, 4), opset=18)
unary("Gelu", F.gelu, real(2, 4), opset=20)
unary("Gelu", lambda x: F.gelu(x, approximate="tanh"), real(2, 4), {"approximate": "tanh"}, opset=20, title="tanh")
unary("Swish", lambda x: x * torch.sigmoid(1.5 * x), real(2, 4), {"alpha": 1.5}, opset=24)
unary("Gelu", F.gelu, real(2, 4), domain="com.microsoft", title="com.microsoft")
unary("QuickGelu", lambda x: x * torch.sigmoid(1.702 * x), real(2, 4), domain="com.microsoft")
unary("QuickGelu", lambda x: x * torch.sigmoid(1.2 * x), real(2, 4), {"alpha": 1.2}, domain="com.microsoft", title="alpha")
case("FastGelu", {"x": real(2, 4), "b": real(4)}, {}, lambda x, b: F.gelu(x + b, approximate="tanh"), domain="com.microsoft")
case("BiasGelu", {"x": real(2, 4), "b": real(4)}, {}, lambda x, b: F.gelu(x + b), domain="com.microsoft")
case("Clip", {"x": away(2, 5, kinks=(-0.5, 0.8)), "low": np.array(-0.5), "high": np.array(0.8)}, {}, lambda x, a, b: torch.clamp(x, -0.5, 0.8), wrt=["x"])
case("Clip", {"x": away(2, 5, kinks=(-0.5, 0.8)), "low": np.array(-0.5), "high": np.array(0.8)}, {}, torch.clamp, title="bounds that are trained")
case("Clip", {"x": away(2, 5, kinks=(-0.5, 0.8)), "low": np.array(0.8), "high": np.array(-0.5)}, {}, torch.clamp, title="bounds that crossed")
case("Clip", {"x": away(2, 5, kinks=(0.8,)), "low": None, "high": np.array(0.8)}, {}, lambda x, a, b: torch.clamp(x, max=0.8), wrt=["x"], title="upper bound alone")
unary("Cast", lambda x: x * 1, real(2, 3), {"to": 1})
case("CastLike", {"x": real(2, 3), "like": real(1)}, {}, lambda x, l: x * 1, wrt=["x"])
case("Dropout", {"x": real(2, 3), "ratio": np.array(0.4)}, {}, lambda x, r: x * 1, wrt=["x"], title="outside training")

# Elementwise, broadcasting
for op, of, right in [
    ("Add", torch.add, real(3, 1)),
    ("Sub", torch.sub, real(4)),
    ("Mul", torch.mul, real(2, 1, 4)),
    ("Div", torch.div, away(1, 4, margin=0.5)),
]:
    case(op, {"a": real(2, 3, 4), "b": right}, {}, of)
case("Mul", {"a": real(), "b": real(2, 3)}, {}, torch.mul, title="by a scalar")
case("Pow", {"x": real(2, 3, low=0.3, high=2), "p": real(3)}, {}, torch.pow)
case("Pow", {"x": real(2, 3), "p": np.array(2.0)}, {}, lambda x, p: x**2, wrt=["x"], title="squares of either sign")
case("Max", {"a": apart(2, 3), "b": real(1, 3), "c": np.array(0.01)}, {}, lambda a, b, c: torch.maximum(torch.maximum(a, b), c))
case("Min", {"a": apart(2, 3), "b": real(2, 1)}, {}, torch.minimum)
case("Sum", {"a": real(2, 3), "b": real(3), "c": real(2, 1)}, {}, lambda a, b, c: a + b + c)
case("Mean", {"a": real(2, 3), "b": real(3), "c": real(2, 1)}, {}, lambda a, b, c: (a + b + c) / 3)
case("Where", {"c": np.array([[True], [False]]), "a": real(2, 3), "b": real(3)}, {}, torch.where)
case("PRelu", {"x": away(2, 3, 4), "s": real(3, 1)}, {}, lambda x, s: torch.where(x > 0, x, x * s))

unary("Selu", lambda x: 1.2 * torch.where(x > 0, x, 1.5 * (x.exp() - 1)), away(2, 4), {"alpha": 1.5, "gamma": 1.2}, title="own numbers")

unary("Shrink", lambda x: torch.where(x.abs() > 0.7, x - 0.3 * x.sign(), 0 * x), away(2, 5, kinks=(-0.7, 0.7)), {"lambd": 0.7, "bias": 0.3})
case("Mod", {"a": away(2, 5, kinks=(-1.4, -0.7, 0.0, 0.7, 1.4), margin=0.05), "b": np.array([0.7, -0.7, 0.7, -0.7, 0.7])}, {"fmod": 1}, torch.fmod)
