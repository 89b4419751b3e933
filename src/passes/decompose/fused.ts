import { type Attribute, attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import type { Formula } from "../../ops/formula.ts";
import type { StandardOperator } from "../../ops/operators/index.ts";
import { axesFrom } from "../../ops/value-types.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import { placesAlong } from "./attend.ts";
import type { Compound } from "./compound.ts";

const SOURCE = "onnxruntime/core/graph/contrib_ops/contrib_defs.cc";

interface Activation {
  readonly op: StandardOperator;
  /** The names of its parameters in order. */
  readonly parameters: readonly string[];
}

/** Activations that ONNX Runtime fuses. */
const ACTIVATIONS: readonly Activation[] = [
  { op: "Relu", parameters: [] },
  { op: "Sigmoid", parameters: [] },
  { op: "Tanh", parameters: [] },
  { op: "LeakyRelu", parameters: ["alpha"] },
  { op: "HardSigmoid", parameters: ["alpha", "beta"] },
];

/** @param parameters by position, where the node gives them */
function activated(f: Formula, call: Call, x: Value, parameters: readonly (number | null)[]): Value {
  const name = call.stringOrNull("activation") ?? "";
  if (name === "") return x;
  if (name === "Clip") return f.emit("Clip", [x, parameters[0] ?? null, parameters[1] ?? null]);
  const activation = ACTIVATIONS.find(({ op }) => op === name);
  if (activation === undefined) throw call.refuse(`its activation is ${name}`);
  const attributes = activation.parameters.flatMap((each, index) => {
    const value = parameters[index];
    return typeof value === "number" ? [attribute.float(each, value)] : [];
  });
  return f.emit(activation.op, [x], { attributes });
}

/** The node's own attributes of these names. */
const kept = (call: Call, names: readonly string[]): readonly Attribute[] =>
  [...call.node.attributes.values()].filter(({ name }) => names.includes(name));

const WINDOW = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];

/** A convolution, then a tensor that is added, then the activation. */
function conv(f: Formula, call: Call): readonly Value[] {
  const bias = call.optional(2);
  const inputs = [call.input(0), call.input(1), ...(bias === null ? [] : [bias])];
  const made = f.emit("Conv", inputs, { attributes: kept(call, WINDOW) });
  const added = call.optional(3);
  return [activated(f, call, added === null ? made : f.add(made, added), call.floats("activation_params") ?? [])];
}

function gemm(f: Formula, call: Call): readonly Value[] {
  const attributes = kept(call, ["alpha", "beta", "transA", "transB"]);
  const C = call.optional(2);
  const made = f.emit("Gemm", [call.input(0), call.input(1), ...(C === null ? [] : [C])], { attributes });
  const parameters = [call.floatOrNull("activation_alpha"), call.floatOrNull("activation_beta")];
  return [activated(f, call, made, parameters)];
}

/** Channels are the last axis of image, weight and result. */
function channelsLast(f: Formula, call: Call): readonly Value[] {
  const rank = call.rank(1);
  const first = [0, rank - 1, ...axesFrom(1, rank - 1)];
  const bias = call.optional(2);
  const inputs = [
    f.transpose(call.input(0), first),
    f.transpose(call.input(1), first),
    ...(bias === null ? [] : [bias]),
  ];
  const made = f.emit("Conv", inputs, { attributes: kept(call, WINDOW) });
  return [f.transpose(made, [0, ...axesFrom(2, rank), 1])];
}

/** input + skip + bias, divided by its root mean square, times gamma; output 3 is the sum. */
function skipRms(f: Formula, call: Call): readonly (Value | null)[] {
  const [gamma, bias] = [call.input(2), call.optional(3)];
  const skipped = f.add(call.input(0), call.input(1));
  const sum = bias === null ? skipped : f.add(skipped, bias);
  const inv = f.div(1, f.sqrt(f.add(f.mean(f.square(sum), [-1]), call.float("epsilon"))));
  return [f.mul(f.mul(sum, inv), gamma), null, inv, sum];
}

/** Embeddings of tokens, positions and segments, added and normalized; outputs 1 and 2 are the lengths and the sum. */
function embeddings(f: Formula, call: Call): readonly (Value | null)[] {
  const [ids, segments, mask, positions] = [call.input(0), call.optional(1), call.optional(7), call.optional(8)];
  const int = f.typed(DataType.int64);
  const at = positions ?? int.unsqueeze(placesAlong(f, ids, 1), [0]);
  const words = f.add(f.gather(call.input(2), ids, 0), f.gather(call.input(3), at, 0));
  const sum = segments === null ? words : f.add(words, f.gather(call.input(4), segments, 0));
  const attributes = [attribute.int("axis", -1), attribute.float("epsilon", call.float("epsilon"))];
  const y = f.emit("LayerNormalization", [sum, call.input(5), call.input(6)], { attributes });
  const whole = f.typed(DataType.int32);
  const lengths = (): Value =>
    mask === null ? whole.zeros(f.shape(ids, 0, 1)) : f.cast(whole.sum(mask, [1], false), DataType.int32);
  return [y, call.wants(1) ? lengths() : null, sum];
}

export const FUSED: readonly Compound[] = [
  { domain: MICROSOFT, op: "FusedConv", source: SOURCE, parts: conv },
  { domain: MICROSOFT, op: "FusedGemm", source: SOURCE, parts: gemm },
  { domain: MICROSOFT, op: "NhwcConv", source: SOURCE, parts: channelsLast },
  { domain: MICROSOFT, op: "SkipSimplifiedLayerNormalization", source: SOURCE, parts: skipRms },
  { domain: MICROSOFT, op: "EmbedLayerNormalization", source: SOURCE, parts: embeddings },
];
