import { mapTo, requireArgument } from "../arguments.ts";
import { PassError } from "../errors.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import type { Value } from "../graph/graph.ts";
import { toBfloat, toHalf } from "../graph/half.ts";
import { A_MODEL, type Model, walkGraphs } from "../graph/model.ts";
import { A_TENSOR, Tensor } from "../graph/tensor.ts";
import { singleOf } from "./change-precision.ts";
import type { Report } from "./pass.ts";
import { prepareForward } from "./prepare-forward.ts";

export interface PutWeightsReport extends Report {
  readonly pass: "put-weights";
}

/** Rounds float32 to other types of numbers. */
const ROUNDED = new Map<number, (values: Float32Array) => Uint16Array | Float64Array>([
  [DataType.float16, (values) => Uint16Array.from(values, toHalf)],
  [DataType.bfloat16, (values) => Uint16Array.from(values, toBfloat)],
  [DataType.double, (values) => Float64Array.from(values)],
]);

/**
 * Puts trained weights into the forward model that the artifacts were built from, in the model's own types, and leaves all
 * else of it as it is. The external tensors of the model must have been read.
 * @param weights by the names that the build gave them
 * @throws PassError `E_NO_PLACE`, naming the weights that stand there in another form; the model is unchanged then
 */
export function putWeights(model: Model, weights: ReadonlyMap<string, Tensor>): PutWeightsReport {
  requireArgument("model", model, A_MODEL);
  requireArgument("weights", weights, mapTo(A_TENSOR, "tensors by name"));
  const prepared = model.clone();
  prepareForward(prepared, { precision: "float32" });
  const taken = new Map(prepared.graph.initializers.map(({ name, tensor }) => [name, tensor]));
  const places = new Map(placesOf(model).map((place) => [place.name, place]));
  const missing: string[] = [];
  const writes: (() => void)[] = [];
  for (const [name, weight] of weights) {
    const [place, as] = [places.get(name), taken.get(name)];
    if (place === undefined || !as || !isSame(singleOf(place.tensor), as) || !fits(place.tensor, weight)) {
      missing.push(name);
      continue;
    }
    const { dtype, dims } = place.tensor;
    const round = ROUNDED.get(dtype);
    const isAsItIs = round === undefined || weight.dtype === dtype;
    const made = isAsItIs ? weight : Tensor.from(dtype, dims, round(weight.floatValues()));
    writes.push(() => place.put(made));
  }
  const [first] = missing;
  if (first !== undefined) {
    const others = missing.length === 1 ? "" : ` and ${missing.length - 1} more`;
    throw new PassError("E_NO_PLACE", `the model does not hold "${first}"${others} as it was trained`, {
      field: first,
      hint: "Give the model that the artifacts were built from. What the exporter had merged or rearranged is exported without --into alone; torch.onnx.export(..., optimize=False) leaves all in its place.",
    });
  }
  for (const write of writes) write();
  return { pass: "put-weights", changed: writes.length, skipped: [], notes: [] };
}

interface Place {
  readonly name: string;
  readonly tensor: Tensor;
  readonly put: (tensor: Tensor) => void;
}

/** Initializers and constants of all graphs. */
function placesOf(model: Model): readonly Place[] {
  return [...walkGraphs(model.graph)].flatMap((graph) => [
    ...graph.initializers.flatMap((value: Value): readonly Place[] => {
      const { name, tensor } = value;
      if (tensor === null) return [];
      return [
        {
          name,
          tensor,
          put: (made) => {
            value.tensor = made;
          },
        },
      ];
    }),
    ...graph.nodes.flatMap((node): readonly Place[] => {
      const [output] = node.outputs;
      const value = node.opType === "Constant" ? node.attributes.get("value") : undefined;
      if (!output || value?.kind !== "tensor") return [];
      const put = (made: Tensor): void => {
        node.attributes.set("value", attribute.tensor("value", made));
      };
      return [{ name: output.name, tensor: value.value.tensor, put }];
    }),
  ]);
}

const fits = ({ dims }: Tensor, weight: Tensor): boolean =>
  dims.length === weight.dims.length && dims.every((dim, axis) => dim === weight.dims[axis]);

function isSame(a: Tensor, b: Tensor): boolean {
  if (a.dtype !== b.dtype || !fits(a, b)) return false;
  const [left, right] = [a.values(), b.values()];
  return (
    left.length === right.length &&
    left.every((value: number | bigint, index: number) => Object.is(value, right[index]))
  );
}
