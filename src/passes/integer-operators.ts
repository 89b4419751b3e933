import { attribute } from "../graph/attribute.ts";
import type { Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import type { Formula } from "../ops/formula.ts";
import { Decomposed } from "./decompose/compound.ts";
import type { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

/** An integer operand at `first`, with its scale and zero point behind it, as real numbers. @param axis that of a scale per row or column */
function real(f: Formula, call: Call, first: number, axis: number): Value {
  const inputs = [call.input(first), call.input(first + 1), call.input(first + 2)];
  return f.emit("DequantizeLinear", inputs, { attributes: [attribute.int("axis", axis)] });
}

/** Biases of 32 bits count in steps of the product of both scales. */
function realBias(f: Formula, call: Call): Value | null {
  const bias = call.optional(8);
  if (bias === null) return null;
  const [ofInput, ofWeight] = [call.constant(1), call.constant(4)];
  const step = Number(ofInput?.values()[0]);
  const scale =
    ofInput?.size === 1 && ofWeight !== null
      ? f.build.constant(
          Tensor.floats(
            ofWeight.dims,
            Array.from(ofWeight.values(), Number).map((each) => each * step),
          ),
        )
      : f.mul(call.input(1), call.input(4));
  return f.emit("DequantizeLinear", [bias, scale], { attributes: [attribute.int("axis", 0)] });
}

const quantized = (f: Formula, call: Call, result: Value): readonly Value[] => [
  f.emit("QuantizeLinear", [result, call.input(6), call.input(7)]),
];

function conv(f: Formula, call: Call): readonly Value[] {
  const bias = realBias(f, call);
  const inputs = [real(f, call, 0, 1), real(f, call, 3, 0), ...(bias === null ? [] : [bias])];
  return quantized(f, call, f.emit("Conv", inputs, { attributes: [...call.node.attributes.values()] }));
}

const matMul = (f: Formula, call: Call): readonly Value[] =>
  quantized(f, call, f.matmul(real(f, call, 0, -2), real(f, call, 3, -1)));

/** Operators on integers that have the scales of their operands and of their result. */
const OPERATORS: ReadonlyMap<string, (f: Formula, call: Call) => readonly Value[]> = new Map([
  ["QLinearConv", conv],
  ["QLinearMatMul", matMul],
]);

const partsOf = ({ domain, opType }: Node) => (domain === "" ? OPERATORS.get(opType) : undefined);

/**
 * Writes operators on integers that know their scales on real numbers, between a DequantizeLinear per operand and a QuantizeLinear.
 * @returns how many of which, in words; null where there are none
 */
export function writeOnReals(model: Model): string | null {
  const names = new Names(model);
  const counts = new Map<string, number>();
  for (const graph of walkGraphs(model.graph)) {
    for (const node of graph.nodes) {
      const lower = partsOf(node);
      if (lower === undefined) continue;
      counts.set(node.opType, (counts.get(node.opType) ?? 0) + 1);
      replaceByParts(graph, new Decomposed(node), { lower }, { names, opset: model.opset, isInput: () => false });
    }
  }
  if (counts.size === 0) return null;
  const all = [...counts].map(([op, count]) => `${count} ${op}`).join(", ");
  return `${all}: written as DequantizeLinear, the operator on real numbers, and QuantizeLinear`;
}
