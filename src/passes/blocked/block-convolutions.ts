import { placesOf } from "../../autodiff/formulas/window.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import type { Formula } from "../../ops/formula.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import { Call } from "../lower-training-ops/lowering.ts";
import { replaceByParts } from "../lower-training-ops/replace.ts";
import { BLOCKED_DOMAIN, Blocks } from "./blocks.ts";
import { blockedCostsLess, type Convolution, type Form, formOf } from "./costs.ts";
import { weightGradientCostsLess } from "./gradient-costs.ts";
import { adderOf, transposedSum } from "./transposed.ts";
import { phasesCostLess } from "./transposed-costs.ts";
import { weightGradientInBlocks, weightGradientOf } from "./weight-gradients.ts";
import { writeTransposed } from "./write-transposed.ts";

/** What a size that is not known counts as. */
const UNKNOWN = { batch: 8, pixels: 256 };

/**
 * Takes the float32 convolutions over planes of which ONNX Runtime's CPU provider has less work in blocks of channels, its own layout for
 * models whose weights do not change. In training weights change: each run puts them into blocks, too. Changes the model.
 * @param block the channels of a block, which the processor decides
 * @returns how many are taken so
 */
export function blockConvolutions(model: Model, block: number, pays = PAYERS): number {
  const { graph } = model;
  inferTypes(model);
  const names = new Names(model);
  const images = new Map<Value, Value>();
  let count = 0;
  for (const node of graph) {
    const write = node.domain === "" ? FINDERS.get(node.opType)?.(node, block, pays) : null;
    if (!write) continue;
    const lower = (f: Formula): readonly Value[] => [write(f, new Blocks(f, block, images))];
    replaceByParts(graph, new Call(node), { lower }, { names, opset: model.opset, isInput: () => false });
    count += 1;
  }
  if (count === 0) return 0;
  model.opsets.set(BLOCKED_DOMAIN, 1);
  removeDeadNodes(graph);
  return count;
}

/** Decides which of those that can be taken in blocks are. */
export interface Payers {
  readonly convolution: typeof blockedCostsLess;
  readonly transposed: typeof phasesCostLess;
  readonly weightGradient: typeof weightGradientCostsLess;
}

const PAYERS: Payers = {
  convolution: blockedCostsLess,
  transposed: phasesCostLess,
  weightGradient: weightGradientCostsLess,
};

type Write = (f: Formula, blocks: Blocks) => Value;

/** By operator: how what a node gives is written in blocks; null: it stays. */
const FINDERS: ReadonlyMap<string, (node: Node, block: number, pays: Payers) => Write | null> = new Map([
  [
    "Conv",
    (node, block, pays) => {
      const gradient = weightGradientOf(new Call(node), block);
      if (gradient !== null && pays.weightGradient(gradient, block))
        return (f, blocks) => weightGradientInBlocks(f, blocks, block, gradient);
      const found = blockable(new Call(node), block, pays.convolution);
      return found && ((_, blocks) => blocks.convolve(node, found));
    },
  ],
  [
    "ConvTranspose",
    (node, block, pays) => {
      const adder = adderOf(node);
      return adder !== null && transposed(adder, block, pays) !== null ? null : transposed(node, block, pays);
    },
  ],
  ["Add", transposed],
]);

/** A ConvTranspose or a sum of two. */
function transposed(node: Node, block: number, pays: Payers): Write | null {
  const sum = transposedSum(node, block);
  if (sum === null || !pays.transposed(sum, block)) return null;
  return (f, blocks) => writeTransposed(f, blocks, sum);
}

/** A convolution and how it is taken in blocks. */
export interface Blockable {
  readonly form: Form;
  /** [O, C / group, height, width] */
  readonly kernels: readonly number[];
}

function blockable(call: Call, block: number, pays: typeof blockedCostsLess): Blockable | null {
  const [image, kernels] = [dimsOf(call.input(0)), known(dimsOf(call.input(1)))];
  if (image?.length !== 4 || kernels === null || elementTypeOf(call.input(0)) !== DataType.float) return null;
  const group = call.int("group");
  const [outputs = 0, perGroup = 0, ...window] = kernels;
  const [batch = null, channels = null, ...plane] = image;
  if (channels === null || channels !== perGroup * group || kernels.includes(0)) return null;
  const [, , ...results] = (call.node.outputs[0] && dimsOf(call.node.outputs[0])) ?? [];
  const convolution: Convolution = {
    ...{ batch: batch ?? UNKNOWN.batch, channels, outputs, group },
    ...{ kernel: placesOf(window), pixels: sizeOf(plane), results: sizeOf(results) },
  };
  const form = formOf(convolution, block);
  if (form === null || !pays(convolution, form, block)) return null;
  return { form, kernels };
}

function sizeOf(plane: readonly (number | null)[]): number {
  const sizes = known(plane);
  return sizes === null || sizes.length === 0 ? UNKNOWN.pixels : placesOf(sizes);
}
