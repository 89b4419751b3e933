"""python3 scripts/reference/traced-steps <folder> [name...]: writes every kind as a step, its inputs, and its outputs with AGR by hand in float64."""

import sys
import traceback
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors_writer import save
from tracing import NUMPY, export

from kinds import CAUTIOUS, KINDS


def fill(shape, what, random):
    if isinstance(what, tuple):
        return torch.from_numpy(np.asarray(random.integers(0, what[1], shape), np.int64))
    if isinstance(what, (int, float)):
        return torch.full(shape, float(what))
    made = random.standard_normal(shape) * (0.4 if what in ("w", "half") else 1.0)
    if what == "pos":
        made = 0.02 + 0.1 * np.abs(made)
    if what == "zero":
        made = made * 0
    return torch.from_numpy(np.asarray(made, np.float16 if what == "half" else np.float32))


def by_hand(g):
    if g.numel() < 2:
        return g
    size = g.abs()
    return g - size / size.sum() * g


def made(name):
    spec = KINDS[name]
    random = np.random.default_rng(sum(map(ord, name)))
    state = {n: fill(shape, what, random) for n, (shape, what) in spec["state"].items()}
    data = {n: fill(shape, what, random) for n, (shape, what) in spec["data"].items()}
    inputs = {**state, **data}
    order = []

    def call(agr, values):
        s, d = values[: len(state)], values[len(state) :]
        new, outputs = spec["step"](dict(zip(state, s)), dict(zip(data, d)), agr)
        results = {spec["names"](n): new[n] for n in state if n in new} | outputs
        order[:] = list(results)
        return results

    def traced(*values):
        return tuple(each.detach() for each in call(lambda g: g, values).values())

    call(lambda g: g, [v.clone() for v in inputs.values()])
    names = list(order)
    model = export(traced, {n: v.clone() for n, v in inputs.items()}, names, name)
    wide = [v.double() if v.dtype == torch.float32 else v.clone() for v in inputs.values()]
    narrow = any(v.dtype == torch.float16 for v in inputs.values()) or "half" in name
    right = call(by_hand, [v.clone() for v in inputs.values()] if narrow else wide)
    def told(results):
        return {
            n: v.detach().to(torch.float32) if v.dtype == torch.float64 else v.detach()
            for n, v in results.items()
            if n not in spec.get("skip_outputs", ())
        }

    masked = None
    if name in CAUTIOUS:
        new, outputs = CAUTIOUS[name](dict(zip(state, wide)), dict(zip(data, wide[len(state) :])), by_hand)
        masked = told({spec["names"](n): v for n, v in new.items()} | outputs)
    return model, inputs, told(right), masked


def main(folder, *wanted):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted or KINDS:
        try:
            model, inputs, right, masked = made(name)
        except Exception:
            print("FAILED", name)
            traceback.print_exc(limit=-3)
            continue
        onnx.save(model, folder / f"{name}.onnx")
        save(folder / f"{name}.inputs.safetensors", inputs)
        save(folder / f"{name}.right-outputs.safetensors", right)
        if masked is not None:
            save(folder / f"{name}.cautious-outputs.safetensors", masked)
        print(name, KINDS[name]["expect"])


main(*sys.argv[1:])
