"""Exports a train step as PyTorch's tracer sees it, gradients and all: ATen operators written as ONNX operators, one by one."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.fx.experimental.proxy_tensor import make_fx

TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.float64: TensorProto.DOUBLE,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.bool: TensorProto.BOOL,
}


class Writer:
    def __init__(self):
        self.nodes, self.initializers, self.count, self.meta = [], [], 0, {}

    def const(self, array, hint="const"):
        self.count += 1
        name = f"{hint}_{self.count}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, *values):
        return self.const(np.array(values, np.int64), "ints")

    def op(self, op_type, *inputs, name=None, outputs=None, **attributes):
        self.count += 1
        made = outputs or [name or f"{op_type.lower()}_t{self.count}"]
        self.nodes.append(helper.make_node(op_type, list(inputs), made, name=f"n{self.count}", **attributes))
        return made[0]


def shape_of(node):
    return list(node.meta["tensor"].shape)


NUMPY = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.bool: np.bool_,
}
BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min"}
COMPARE = {"gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual", "le": "LessOrEqual", "eq": "Equal"}
UNARY = {
    "neg": "Neg", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu",
    "abs": "Abs", "sign": "Sign", "reciprocal": "Reciprocal", "floor": "Floor", "sin": "Sin", "cos": "Cos",
    "sgn": "Sign", "logical_not": "Not", "bitwise_not": "Not", "erf": "Erf", "round": "Round",
}
COPIES = {"detach", "alias", "clone", "lift_fresh_copy", "_unsafe_view", "contiguous", "lift"}
ALL = 2**62


def export(function, inputs, out_names, name="main_graph"):
    """inputs: name -> example tensor; function takes them in order and returns tensors in the order of out_names."""
    graph = make_fx(function)(*inputs.values()).graph
    module = make_fx(function)(*inputs.values())
    graph = module.graph
    taken = {*inputs, *out_names}
    for node in graph.nodes:
        if node.name in taken:
            node.name = f"{node.name}_value"
    interpret(module, list(inputs.values()))
    w = Writer()
    env = {}
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for node, input_name in zip(placeholders, inputs):
        env[node] = input_name
    out_values = []
    for node in graph.nodes:
        if node.op == "get_attr":
            env[node] = w.const(getattr(module, node.target).detach().numpy(), node.name)
        elif node.op == "call_function":
            env[node] = lower(w, env, node)
        elif node.op == "output":
            out_values = list(node.args[0])
    outputs = []
    for node, out in zip(out_values, out_names):
        w.op("Identity", env[node], name=out)
        outputs.append(helper.make_tensor_value_info(out, TYPES[node.meta["tensor"].dtype], shape_of(node)))
    fold_copies(w, set(out_names))
    used = {each for node in w.nodes for each in node.input}
    made = helper.make_graph(
        w.nodes,
        name,
        [helper.make_tensor_value_info(n, TYPES[t.dtype], list(t.shape)) for n, t in inputs.items()],
        outputs,
        [each for each in w.initializers if each.name in used],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], producer_name="traced-steps")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def fold_copies(w, outs):
    """An output's Identity takes the place of what it copies, where nothing else reads that: exporters name outputs so."""
    producers = {out: node for node in w.nodes for out in node.output}
    reads = {}
    for node in w.nodes:
        for each in node.input:
            reads[each] = reads.get(each, 0) + 1
    kept = []
    for node in w.nodes:
        source = node.input[0] if node.op_type == "Identity" else None
        if source in producers and node.output[0] in outs and reads[source] == 1 and source not in outs:
            producer = producers[source]
            producer.output[list(producer.output).index(source)] = node.output[0]
        else:
            kept.append(node)
    w.nodes = kept


def interpret(module, values):
    class Shapes(torch.fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                n.meta["tensor"] = result
            elif isinstance(result, (tuple, list)):
                n.meta["tensors"] = result
            return result

    with torch.no_grad():
        Shapes(module).run(*values)


def lower(w, env, node):
    target = node.target
    if getattr(target, "__name__", "") == "getitem":
        made = env[node.args[0]]
        return made[node.args[1]]
    name = str(target).replace("aten::", "").replace("aten.", "").split(".")[0]
    args, kwargs = node.args, node.kwargs
    result = node.meta.get("tensor")
    dtype = result.dtype if result is not None else torch.float32

    def arg(index, like=None):
        value = args[index] if index < len(args) else None
        if isinstance(value, torch.fx.Node):
            return typed(value, like)
        return w.const(np.array(value, NUMPY[like or dtype]))

    def typed(value, like):
        own = value.meta["tensor"].dtype
        if like is not None and own != like:
            return w.op("Cast", env[value], to=TYPES[like])
        return env[value]

    def same(*values, like):
        return w.op(*values[:1], *values[1:])

    if name in COPIES and name != "_unsafe_view":
        return env[args[0]]
    if name in BINARY and name in ("add", "sub", "mul", "div", "maximum", "minimum"):
        left, right = arg(0, dtype), arg(1, dtype)
        if dtype == torch.bool:
            return w.op("And" if name == "mul" else "Or", left, right, name=node.name)
        alpha = kwargs.get("alpha", 1)
        if alpha != 1:
            right = w.op("Mul", right, w.const(np.array(alpha, NUMPY[dtype])))
        return w.op(BINARY[name], left, right, name=node.name)
    if name == "rsub":
        return w.op("Sub", arg(1, dtype), arg(0, dtype), name=node.name)
    if name in COMPARE or name == "ne":
        tensors = [a.meta["tensor"] for a in args if isinstance(a, torch.fx.Node)]
        like = torch.result_type(*(a.meta["tensor"] if isinstance(a, torch.fx.Node) else a for a in args[:2])) if len(args) > 1 else tensors[0].dtype
        made = w.op(COMPARE.get(name, "Equal"), arg(0, like), arg(1, like), name=None if name == "ne" else node.name)
        return w.op("Not", made, name=node.name) if name == "ne" else made
    if name in ("logical_and", "bitwise_and", "logical_and_"):
        return w.op("And", arg(0), arg(1), name=node.name)
    if name in ("logical_or", "bitwise_or"):
        return w.op("Or", arg(0), arg(1), name=node.name)
    if name in UNARY:
        return w.op(UNARY[name], arg(0), name=node.name)
    if name == "square":
        return w.op("Mul", arg(0), arg(0), name=node.name)
    if name == "rsqrt":
        return w.op("Reciprocal", w.op("Sqrt", arg(0)), name=node.name)
    if name == "pow":
        if isinstance(args[0], torch.fx.Node) and args[1] == 2:
            return w.op("Mul", arg(0), arg(0), name=node.name)
        return w.op("Pow", arg(0, dtype), arg(1, dtype), name=node.name)
    if name == "remainder":
        return w.op("Mod", arg(0, dtype), arg(1, dtype), name=node.name, fmod=0 if dtype == torch.int64 else 1)
    if name in ("clamp", "clamp_min", "clamp_max"):
        low = args[1] if name != "clamp_max" and len(args) > 1 else kwargs.get("min")
        high = args[1] if name == "clamp_max" else (args[2] if len(args) > 2 else kwargs.get("max"))
        value = arg(0)
        if low is not None and not isinstance(low, torch.fx.Node) and (high is None or not isinstance(high, torch.fx.Node)):
            return w.op(
                "Clip", value, w.const(np.array(low, NUMPY[dtype])),
                *([] if high is None else [w.const(np.array(high, NUMPY[dtype]))]), name=node.name,
            )
        to = lambda each: typed(each, dtype) if isinstance(each, torch.fx.Node) else w.const(np.array(each, NUMPY[dtype]))
        if low is not None:
            value = w.op("Max", value, to(low))
        if high is not None:
            value = w.op("Min", value, to(high))
        return value
    if name == "where":
        return w.op("Where", arg(0), arg(1, dtype), arg(2, dtype), name=node.name)
    if name in ("sum", "mean", "amax", "amin", "logsumexp"):
        reduce = {"sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin", "logsumexp": "ReduceLogSumExp"}[name]
        axes = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else None
        axes = None if axes is not None and len(axes) == 0 else axes
        keep = int(bool(args[2])) if len(args) > 2 else int(bool(kwargs.get("keepdim", False)))
        value = arg(0, dtype)
        if reduce == "ReduceSum":
            extra = [] if axes is None else [w.ints(*axes)]
            return w.op(reduce, value, *extra, name=node.name, keepdims=keep)
        extra = {} if axes is None else {"axes": list(axes)}
        return w.op(reduce, value, name=node.name, keepdims=keep, **extra)
    if name in ("linalg_vector_norm", "norm"):
        axes = args[2] if len(args) > 2 and isinstance(args[2], (list, tuple)) else None
        keep = int(bool(args[3])) if len(args) > 3 else 0
        extra = {} if not axes else {"axes": list(axes)}
        return w.op("ReduceL2", arg(0), name=node.name, keepdims=keep, **extra)
    if name in ("all", "any"):
        value = w.op("Cast", env[args[0]], to=TensorProto.INT32)
        made = w.op("ReduceMin" if name == "all" else "ReduceMax", value, keepdims=0)
        return w.op("Cast", made, to=TensorProto.BOOL, name=node.name)
    if name == "argmax":
        return w.op("ArgMax", arg(0), axis=args[1], keepdims=int(bool(args[2])) if len(args) > 2 else 0, name=node.name)
    if name in ("mm", "matmul", "bmm", "mv", "dot"):
        return w.op("MatMul", arg(0), arg(1), name=node.name)
    if name == "addmm":
        return w.op("Gemm", arg(1), arg(2), arg(0), name=node.name)
    if name == "t":
        return w.op("Transpose", arg(0), name=node.name)
    if name == "transpose":
        rank = len(shape_of(node))
        order = list(range(rank))
        a, b = args[1] % rank, args[2] % rank
        order[a], order[b] = order[b], order[a]
        return w.op("Transpose", arg(0), perm=order, name=node.name)
    if name == "permute":
        return w.op("Transpose", arg(0), perm=list(args[1]), name=node.name)
    if name in ("view", "_unsafe_view", "reshape", "_reshape_alias"):
        return w.op("Reshape", arg(0), w.ints(*shape_of(node)), name=node.name)
    if name == "expand":
        return w.op("Expand", arg(0), w.ints(*shape_of(node)), name=node.name)
    if name == "unsqueeze":
        return w.op("Unsqueeze", arg(0), w.ints(args[1]), name=node.name)
    if name == "squeeze":
        return w.op("Reshape", arg(0), w.ints(*shape_of(node)), name=node.name)
    if name == "cat":
        axis = args[1] if len(args) > 1 else 0
        return w.op("Concat", *[env[each] for each in args[0]], axis=axis, name=node.name)
    if name == "stack":
        axis = args[1] if len(args) > 1 else 0
        return w.op("Concat", *[w.op("Unsqueeze", env[each], w.ints(axis)) for each in args[0]], axis=axis, name=node.name)
    if name == "slice":
        axis, start, end = (list(args[1:]) + [0, 0, ALL][len(args) - 1 :])[:3]
        return w.op("Slice", arg(0), w.ints(start or 0), w.ints(min(end or ALL, ALL) if end is not None else ALL), w.ints(axis), name=node.name)
    if name == "select":
        return w.op("Gather", arg(0), w.const(np.array(args[2], np.int64)), axis=args[1], name=node.name)
    if name == "slice_backward":
        _, sizes, axis, start, end, _ = args
        size = sizes[axis]
        start, end = start or 0, min(end, size)
        pads = [0] * (2 * len(sizes))
        pads[axis], pads[len(sizes) + axis] = start, size - end
        return w.op("Pad", arg(0), w.ints(*pads), name=node.name)
    if name == "select_backward":
        _, sizes, axis, index = args
        grown = w.op("Unsqueeze", arg(0), w.ints(axis))
        pads = [0] * (2 * len(sizes))
        index %= sizes[axis]
        pads[axis], pads[len(sizes) + axis] = index, sizes[axis] - index - 1
        return w.op("Pad", grown, w.ints(*pads), name=node.name)
    if name in ("ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "arange", "full", "zeros", "ones", "scalar_tensor", "empty_like", "new_full", "new_empty_strided", "empty"):
        return w.const(result.numpy(), node.name)
    if name == "fill":
        return w.op("Expand", arg(1, dtype), w.ints(*shape_of(node)), name=node.name)
    if name in ("_to_copy", "to"):
        source = args[0].meta["tensor"].dtype
        return env[args[0]] if source == dtype else w.op("Cast", arg(0), to=TYPES[dtype], name=node.name)
    if name == "_log_softmax":
        return w.op("LogSoftmax", arg(0), axis=args[1], name=node.name)
    if name == "_softmax":
        return w.op("Softmax", arg(0), axis=args[1], name=node.name)
    if name == "_log_softmax_backward_data":
        grad, out = arg(0), arg(1)
        total = w.op("ReduceSum", grad, w.ints(args[2]), keepdims=1)
        return w.op("Sub", grad, w.op("Mul", w.op("Exp", out), total), name=node.name)
    if name == "_softmax_backward_data":
        grad, out = arg(0), arg(1)
        product = w.op("Mul", grad, out)
        total = w.op("ReduceSum", product, w.ints(args[2]), keepdims=1)
        return w.op("Sub", product, w.op("Mul", out, total), name=node.name)
    if name == "nll_loss_forward":
        scores, labels = arg(0), arg(1)
        picked = w.op("GatherElements", scores, w.op("Unsqueeze", labels, w.ints(1)), axis=1)
        loss = w.op("Neg", w.op("ReduceMean", picked, keepdims=0))
        return [loss, w.const(np.array(shape_of(args[0])[0], np.float32))]
    if name == "nll_loss_backward":
        sizes = shape_of(args[1])
        hot = w.op("OneHot", arg(2), w.const(np.array(sizes[1], np.int64)), w.const(np.array([0, 1], NUMPY[dtype])), axis=1)
        scaled = w.op("Mul", hot, w.const(np.array(-1 / sizes[0], NUMPY[dtype])))
        return w.op("Mul", scaled, arg(0), name=node.name)
    if name == "tanh_backward":
        grad, out = arg(0), arg(1)
        return w.op("Mul", grad, w.op("Sub", w.const(np.array(1, NUMPY[dtype])), w.op("Mul", out, out)), name=node.name)
    if name == "sigmoid_backward":
        grad, out = arg(0), arg(1)
        return w.op("Mul", grad, w.op("Mul", w.op("Sub", w.const(np.array(1, NUMPY[dtype])), out), out), name=node.name)
    if name == "threshold_backward":
        mask = w.op("Greater", arg(1), w.const(np.array(args[2], NUMPY[dtype])))
        return w.op("Where", mask, arg(0), w.const(np.array(0, NUMPY[dtype])), name=node.name)
    if name == "mse_loss":
        gap = w.op("Sub", arg(0), arg(1))
        return w.op("ReduceMean", w.op("Mul", gap, gap), keepdims=0, name=node.name)
    if name == "mse_loss_backward":
        size = args[1].meta["tensor"].numel()
        gap = w.op("Sub", arg(1), arg(2))
        return w.op("Mul", w.op("Mul", gap, w.const(np.array(2 / size, NUMPY[dtype]))), arg(0), name=node.name)
    if name == "lerp":
        weight = args[2]
        by = env[weight] if isinstance(weight, torch.fx.Node) else w.const(np.array(weight, NUMPY[dtype]))
        return w.op("Add", arg(0), w.op("Mul", w.op("Sub", arg(1), arg(0)), by), name=node.name)
    if name in ("addcmul", "addcdiv"):
        made = w.op("Mul" if name == "addcmul" else "Div", arg(1), arg(2))
        value = kwargs.get("value", 1)
        if value != 1:
            made = w.op("Mul", made, w.const(np.array(value, NUMPY[dtype])))
        return w.op("Add", arg(0), made, name=node.name)
    if name == "embedding":
        return w.op("Gather", arg(0), arg(1), axis=0, name=node.name)
    if name == "embedding_dense_backward":
        rows = args[2]
        hot = w.op("OneHot", arg(1), w.const(np.array(rows, np.int64)), w.const(np.array([0, 1], NUMPY[dtype])), axis=-1)
        flat = w.op("Reshape", hot, w.ints(-1, rows))
        grad = w.op("Reshape", arg(0), w.ints(-1, shape_of(node)[1]))
        return w.op("MatMul", w.op("Transpose", flat), grad, name=node.name)
    if name == "gather":
        return w.op("GatherElements", arg(0), arg(2), axis=args[1], name=node.name)
    if name in ("scatter_add", "scatter_add_"):
        base = w.op("Expand", arg(0), w.ints(*shape_of(node))) if not shape_of(args[0]) else arg(0)
        return w.op("ScatterElements", base, arg(2), arg(3), axis=args[1], reduction="add", name=node.name)
    if name in ("masked_fill", "masked_fill_"):
        made = w.op("Where", arg(1), arg(2, dtype), arg(0), name=node.name)
        if name.endswith("_"):
            env[args[0]] = made
        return made
    if name == "copysign":
        return w.op("Mul", w.op("Abs", arg(0)), w.op("Sign", arg(1, dtype)), name=node.name)
    if name == "isfinite":
        value = env[args[0]]
        bad = w.op("Or", w.op("IsNaN", value), w.op("IsInf", value))
        return w.op("Not", bad, name=node.name)
    if name in ("isnan", "isinf"):
        return w.op("IsNaN" if name == "isnan" else "IsInf", arg(0), name=node.name)
    if name == "cumsum":
        return w.op("CumSum", arg(0), w.const(np.array(args[1], np.int64)), name=node.name)
    if name == "split":
        sizes = [t.shape[args[2] if len(args) > 2 else 0] for t in node.meta["tensors"]]
        outs = [f"{node.name}_{i}" for i in range(len(sizes))]
        w.op("Split", arg(0), w.ints(*sizes), outputs=outs, axis=args[2] if len(args) > 2 else 0)
        return outs
    if name == "split_with_sizes":
        outs = [f"{node.name}_{i}" for i in range(len(args[1]))]
        w.op("Split", arg(0), w.ints(*args[1]), outputs=outs, axis=args[2] if len(args) > 2 else 0)
        return outs
    if name == "unbind":
        axis = args[1] if len(args) > 1 else 0
        return [
            w.op("Gather", arg(0), w.const(np.array(i, np.int64)), axis=axis) for i in range(len(node.meta["tensors"]))
        ]
    raise NotImplementedError(f"{target}: {args} {kwargs}")
