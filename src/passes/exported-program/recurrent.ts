import { attribute } from "../../graph/attribute.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Builder } from "../../ops/builder.ts";
import { originsOf } from "./assign.ts";
import type { GraphParameters } from "./graph-parameters.ts";
import type { ExportedProgram } from "./program.ts";
import { rearrange } from "./rearrange.ts";

/**
 * By operator: which gate of PyTorch stands in each place of ONNX. PyTorch has i, f, g, o and r, z, n; ONNX has i, o, f, c and
 * z, r, h.
 */
const GATES: Readonly<Record<string, readonly number[]>> = { LSTM: [0, 3, 1, 2], GRU: [1, 0, 2], RNN: [0] };

/**
 * The weights of a recurrent layer are one tensor per direction in PyTorch, its biases two. The exporter makes one constant of
 * them all; here they are tensors of their own again, in PyTorch's order of gates, from which the constant is computed.
 * @returns the names of the parameters
 */
export function restoreRecurrent(program: ExportedProgram, parameters: GraphParameters): readonly string[] {
  const { graph } = parameters;
  const restored: string[] = [];
  const idle: Value[] = [];
  for (const node of graph) {
    const gates = node.domain === "" && Object.hasOwn(GATES, node.opType) ? GATES[node.opType] : undefined;
    if (gates === undefined) continue;
    for (const [index, perDirection] of [
      [1, 1],
      [2, 1],
      [3, 2],
    ] as const) {
      const value = node.inputs[index];
      const made = value ? restore(node, value, perDirection, gates, program, parameters) : null;
      if (!value || made === null) continue;
      node.setInput(index, made.value);
      restored.push(...made.names);
      idle.push(value);
    }
  }
  parameters.sweep(idle);
  return restored;
}

function restore(
  node: Node,
  value: Value,
  perDirection: number,
  gates: readonly number[],
  program: ExportedProgram,
  parameters: GraphParameters,
): { readonly value: Value; readonly names: readonly string[] } | null {
  const { tensor } = value;
  const [directions = 0, rows = 0, ...inner] = tensor?.dims ?? [];
  const origins = originsOf(program, value);
  const names = (program.callOf(node)?.targets ?? []).filter((target) => origins.includes(target));
  if (tensor === null || program.foldedFrom(value) === null || names.length !== directions * perDirection) return null;
  const width = inner.reduce((product, dim) => product * dim, 1);
  const size = rows / perDirection / gates.length;
  const gateOf = (row: number): number => gates.indexOf(Math.floor(row / size));
  const parts = names.map(({ name }, part) => {
    const first = part * (rows / perDirection);
    const own = rearrange(tensor, [rows / perDirection, ...inner], (place) => {
      const row = Math.floor(place / width);
      return (first + gateOf(row) * size + (row % size)) * width + (place % width);
    });
    return parameters.ensure(name, own);
  });
  if (!parts.every((part): part is Value => part !== null)) return null;
  const order = gates.flatMap((gate) => Array.from({ length: size }, (_, row) => gate * size + row));
  const concat = (build: Builder, values: readonly Value[]): Value =>
    values.length === 1 && values[0]
      ? values[0]
      : build.emit("Concat", values, { attributes: [attribute.int("axis", 0)] });
  const made = parameters.compute(
    value.name,
    (build) => {
      const places = build.constant(Tensor.ints(order));
      const axis = build.constant(Tensor.ints([0]));
      const ordered = parts.map((part) =>
        gates.length === 1 ? part : build.emit("Gather", [part, places], { attributes: [attribute.int("axis", 0)] }),
      );
      const each = Array.from({ length: directions }, (_, direction) =>
        build.emit("Unsqueeze", [
          concat(build, ordered.slice(direction * perDirection, (direction + 1) * perDirection)),
          axis,
        ]),
      );
      return concat(build, each);
    },
    tensor,
  );
  return { value: made, names: parts.map(({ name }) => name) };
}
