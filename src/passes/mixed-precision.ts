import { requireOption } from "../errors.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType, dataTypeName } from "../graph/data-type.ts";
import { Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { opTypes } from "../ops/operators/index.ts";

/** Types that products are computed in while parameters stay float32. */
export const LOW_PRECISIONS = { float16: DataType.float16, bfloat16: DataType.bfloat16 } as const;
export type LowPrecision = keyof typeof LOW_PRECISIONS;

/**
 * What takes and gives the low type: the operators that PyTorch's autocast runs in it (its "Autocast Op Reference":
 * convolutions and matrix products). All others stay in float32, those among them that autocast keeps there for their range or
 * their sums: exp, log, pow, softmax, norms and their statistics, sums, losses; and those that it lets follow their
 * inputs, which lose nothing by it.
 */
const PRODUCTS = opTypes(["MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"]);

/** Give elements of their inputs as they are: what comes out of them needs no rounding again. */
const MOVES = opTypes(
  ["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Concat"],
  ["Gather", "GatherElements", "GatherND", "Expand", "Tile", "MaxPool", "Relu"],
);

/** Products whose parameters the layer holds inside: they stay in float32, which is said. */
const RECURRENT = opTypes(["LSTM", "GRU", "RNN"]);

/**
 * Rounds what the products of a forward graph take and give to a type of half precision, by a Cast there and one back. Gradients
 * that are taken of the graph afterwards go through the same Casts, so those of products and of parameters are of that type,
 * too. The products themselves run in float32: onnxruntime-node has no kernel of half precision for them on the CPU, and where
 * it puts Casts around float16 products by itself, it leaves the rounding between them out. Changes the model it is given.
 * @param types has seen the graph; sees every node that is added
 * @returns what is said of it
 */
export function roundProducts(model: Model, precision: LowPrecision, types: TypeInference): readonly string[] {
  const low = LOW_PRECISIONS[precision];
  const { graph } = model;
  const names = new Names(model);
  const wide = new Map<Value, Value>();
  const isRounded = new Set<Value>();
  const isFloat = (value: Value | null): value is Value => value !== null && elementTypeOf(value) === DataType.float;
  /** Puts the two Casts behind a value. @param before where they go; null: at the end */
  const round = (value: Value, before: Node | null): Value => {
    const [narrow, back] = [new Value(""), new Value("")];
    for (const [from, made, to] of [
      [value, narrow, low],
      [narrow, back, DataType.float],
    ] as const) {
      const name = names.fresh(`${value.name}/${dataTypeName(to)}`);
      made.name = `${name}:out`;
      const cast = new Node("Cast", [from], [made], { name, attributes: [attribute.int("to", to)] });
      if (before === null) graph.append(cast);
      else graph.insertBefore(before, cast);
      types.node(cast);
    }
    isRounded.add(back);
    return back;
  };
  let count = 0;
  for (const node of graph) {
    if (node.domain !== "") continue;
    const [output = null] = node.outputs;
    if (MOVES.has(node.opType)) {
      const moved = node.inputs.filter(isFloat);
      if (moved.every((value) => isRounded.has(value)))
        for (const each of node.outputs) if (isFloat(each)) isRounded.add(each);
    }
    if (!PRODUCTS.has(node.opType) || !isFloat(output)) continue;
    count++;
    for (const [index, value] of node.inputs.entries()) {
      if (!isFloat(value) || isRounded.has(value)) continue;
      const rounded = wide.get(value) ?? round(value, node);
      wide.set(value, rounded);
      node.setInput(index, rounded);
    }
    const { uses } = output;
    const rounded = round(output, graph.nodeAfter(node));
    for (const { user, index } of uses) {
      if (user instanceof Node) user.setInput(index, rounded);
      else user.setOutput(index, rounded);
    }
  }
  return notesOf(model, precision, count);
}

function notesOf(model: Model, precision: LowPrecision, count: number): readonly string[] {
  requireOption(count > 0, "precision", `float32 for this model: it has no product that ${precision} would be used in`);
  const inner = [...walkGraphs(model.graph)].filter((graph) => graph !== model.graph).flatMap(({ nodes }) => nodes);
  const others = new Set([
    ...model.graph.nodes.flatMap(({ domain, opType }) => (domain === "" && RECURRENT.has(opType) ? [opType] : [])),
    ...inner.flatMap(({ domain, opType }) => (domain === "" && PRODUCTS.has(opType) ? [`${opType} in a body`] : [])),
  ]);
  return [
    `${count} products take and give ${precision}; parameters, sums, norms, the loss and the optimizer stay in float32. On the CPU, ` +
      "where there are no kernels for it, a product runs in float32 between Casts: it is as exact as that type, not faster",
    ...(others.size === 0 ? [] : [`these stay in float32 as a whole: ${[...others].join(", ")}`]),
    "the eval model is of float32: it is what the trained parameters give",
  ];
}
