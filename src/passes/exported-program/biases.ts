import { replaceNode } from "../../edits/replace-node.ts";
import { layoutOf } from "../../graph/data-type.ts";
import type { Node } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import { NodeView } from "../../ops/node-view.ts";
import type { Assignment } from "./assign.ts";
import type { GraphParameters } from "./graph-parameters.ts";
import { type ExportedProgram, FUSIONS, isMadeBy } from "./program.ts";

/** The mark of the exporter's optimizer, which drops biases of zeros. */
const DROPS = /\bRemoveOptionalBiasFrom/;

const zeros = (dtype: number, size: number): Tensor =>
  new Tensor(dtype, [size], { kind: "raw", bytes: new Uint8Array((size * (layoutOf(dtype)?.bits ?? 0)) / 8) });

/** The outputs of a node that has lost its bias. */
function channelsOf(node: Node): number | undefined {
  const type = node.inputs[1]?.type;
  const shape = type?.kind === "tensor" ? type.shape : null;
  const dim = (axis: number): number | undefined => {
    const size = shape?.[axis];
    return typeof size === "number" ? size : undefined;
  };
  if (node.opType === "Gemm") return dim(new NodeView(node).int("transB") === 1 ? 0 : 1);
  if (node.opType === "Conv") return dim(0);
  const perGroup = node.opType === "ConvTranspose" ? dim(1) : undefined;
  return perGroup === undefined ? undefined : perGroup * new NodeView(node).int("group");
}

/**
 * Puts back the biases that the exporter dropped since all their elements were zero: PyTorch trains them.
 * @returns the names of the parameters
 */
export function restoreBiases(
  program: ExportedProgram,
  { open }: Assignment,
  parameters: GraphParameters,
): readonly string[] {
  const restored: string[] = [];
  for (const node of parameters.graph) {
    const [x, weight, bias = null] = node.inputs;
    if (node.domain !== "" || bias !== null || !x || !weight || !isMadeBy(node, DROPS) || isMadeBy(node, FUSIONS))
      continue;
    const call = program.callOf(node);
    const [target, ...more] = (call && open.get(call)) ?? [];
    const channels = channelsOf(node);
    const dtype = weight.type?.kind === "tensor" ? weight.type.dtype : undefined;
    if (!target?.isParameter || more.length > 0 || channels === undefined || dtype === undefined) continue;
    const value = parameters.ensure(target.name, zeros(dtype, channels));
    if (value === null) continue;
    replaceNode(parameters.graph, node, { inputs: [x, weight, value] });
    restored.push(target.name);
  }
  return restored;
}
