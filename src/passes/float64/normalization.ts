import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import type { Compound } from "../decompose/compound.ts";
import type { Call } from "../lower-training-ops/lowering.ts";

const SOURCE = "ONNX's operators";

function instanceNorm(f: Formula, call: Call): readonly Value[] {
  const [x, rank] = [call.input(0), call.rank(0)];
  const axes = axesFrom(2, rank);
  const centered = f.sub(x, f.mean(x, axes));
  const deviation = f.sqrt(f.add(f.mean(f.square(centered), axes), call.float("epsilon")));
  const perChannel = (each: Value): Value => f.reshape(each, [1, -1, ...axes.map(() => 1)]);
  return [f.add(f.mul(f.div(centered, deviation), perChannel(call.input(1))), perChannel(call.input(2)))];
}

/** x / (bias + alpha / size sum of x^2 over the neighbouring channels)^beta */
function localResponse(f: Formula, call: Call): readonly Value[] {
  const [x, rank, size] = [call.input(0), call.rank(0), call.int("size")];
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
  const rest = axesFrom(2, rank).map(() => 0);
  const squares = f.emit("Pad", [f.square(x), f.ints([0, before, ...rest, 0, after, ...rest])]);
  const neighbours = axesFrom(0, size).map((at) =>
    f.slice(squares, [at], at === size - 1 ? [2 ** 31] : [at - size + 1], [1]),
  );
  const sum = neighbours.reduce((all, each) => f.add(all, each));
  const scale = f.add(f.mul(sum, call.float("alpha") / size), call.float("bias"));
  return [f.div(x, f.pow(scale, call.float("beta")))];
}

/** (x - mean) / (deviation + 1e-9), with ONNX's small number. */
function meanVariance(f: Formula, call: Call): readonly Value[] {
  const [x, axes] = [call.input(0), call.ints("axes") ?? [0, 2, 3]];
  const centered = f.sub(x, f.mean(x, axes));
  return [f.div(centered, f.add(f.sqrt(f.mean(f.square(centered), axes)), 1e-9))];
}

/** With the mean and the inverse deviation as outputs 1 and 2, which ONNX Runtime's kernel computes in float32. */
function layerNorm(f: Formula, call: Call): readonly (Value | null)[] {
  const [x, rank, axis] = [call.input(0), call.rank(0), call.int("axis")];
  const axes = axesFrom(axis < 0 ? axis + rank : axis, rank);
  const mean = f.mean(x, axes);
  const centered = f.sub(x, mean);
  const inverse = f.div(1, f.sqrt(f.add(f.mean(f.square(centered), axes), call.float("epsilon"))));
  const scaled = f.mul(f.mul(centered, inverse), call.input(1));
  const bias = call.optional(2);
  return [bias === null ? scaled : f.add(scaled, bias), mean, inverse];
}

export const NORMALIZATIONS: readonly Compound[] = [
  { domain: "", op: "InstanceNormalization", source: SOURCE, parts: instanceNorm },
  { domain: "", op: "MeanVarianceNormalization", source: SOURCE, parts: meanVariance },
  { domain: "", op: "LayerNormalization", source: SOURCE, parts: layerNorm },
  { domain: "", op: "LRN", source: SOURCE, parts: localResponse },
];
