import { attribute } from "../graph/attribute.ts";
import { DataType, dataTypeName } from "../graph/data-type.ts";
import { Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { toSingle } from "./change-precision.ts";

export const HALVES: ReadonlySet<number> = new Set([DataType.float16, DataType.bfloat16]);

/**
 * Makes a model of float16 or bfloat16 one that computes in float32. Its inputs keep their types, and are made float32 behind
 * them; outputs are float32.
 * @returns what is said of it; empty where nothing was of half precision
 */
export function liftPrecision(model: Model): readonly string[] {
  const { graph } = model;
  const tensors = [...walkGraphs(graph)].flatMap((each) =>
    each.initializers.flatMap(({ tensor }) => (tensor !== null && HALVES.has(tensor.dtype) ? [tensor.dtype] : [])),
  );
  const inputs = graph.inputs.flatMap((value) =>
    value.type?.kind === "tensor" && HALVES.has(value.type.dtype) ? [{ value, type: value.type }] : [],
  );
  const [kind = inputs[0]?.type.dtype] = tensors;
  toSingle(model);
  const names = new Names(model);
  const [first] = graph.nodes;
  for (const { value, type } of inputs) {
    const wide = new Value(names.fresh(`${value.name}/float32`), { ...type, dtype: DataType.float });
    value.replaceAllUsesWith(wide);
    value.type = type;
    const cast = new Node("Cast", [value], [wide], {
      name: names.fresh(`${value.name}/Cast`),
      attributes: [attribute.int("to", DataType.float)],
    });
    if (first === undefined) graph.append(cast);
    else graph.insertBefore(first, cast);
  }
  if (kind === undefined) return [];
  return [
    `the model of ${dataTypeName(kind)} computes and is trained in float32: ${tensors.length} tensors were widened` +
      "; export --into the model writes the trained ones back in its own types",
  ];
}
