import { graphsOf } from "../../../graph/attribute.ts";
import { isPartial, isReplicated, isSharded, type Placement, sharded } from "../placement.ts";
import type { Placed, PlacedBody, ShardCall, ShardingRule } from "../shard-call.ts";

/** Steps of a sequence, in each of which the parts have their pieces. */
export const scan: ShardingRule = (call) => {
  const [body] = [...call.node.attributes.values()].flatMap(graphsOf);
  const { inputs, outputs } = call.node;
  const states = inputs.length - call.int("num_scan_inputs");
  const slices = call.placements.slice(states).map((placement, index) => slice(call, placement, states + index, index));
  const known = slices.filter((placement) => placement !== null);
  if (body === undefined || known.length < slices.length) return null;
  const found = begun(call, states)
    .map((carried) => settled(carried, (given) => call.body(body, [...given, ...known])))
    .find((each) => each !== null);
  if (found === undefined || found === null) return null;
  const { carried, placed } = found;
  const axes = call.ints("scan_output_axes");
  const piled = placed.outputs.slice(states).map((placement, index): Placement => {
    const dims = call.outputDims(states + index)?.length ?? 0;
    const axis = axes?.[index] ?? 0;
    const at = axis < 0 ? axis + dims : axis;
    return isSharded(placement)
      ? sharded(placement.axis < at ? placement.axis : placement.axis + 1, placement.runs)
      : placement;
  });
  /** What only one step has whole is not the sum over the steps that a part has. */
  if (placed.outputs.some(({ kind }) => kind === "partial")) return null;
  const isNarrowed = (placement: Placement, index: number): boolean =>
    isSharded(placement) && isReplicated(call.placements[index] ?? placement);
  return {
    outputs: [...carried, ...piled].slice(0, outputs.length),
    inputs: carried.map((placement, index) => (isNarrowed(placement, index) ? placement : null)),
    edit: placed.edit,
  } satisfies Placed;
};

/** Where a step's entry of a sequence lies. */
function slice(call: ShardCall, placement: Placement, input: number, index: number): Placement | null {
  const rank = call.dims(input)?.length;
  if (!isSharded(placement)) return isReplicated(placement) ? placement : null;
  if (rank === undefined) return null;
  const axis = call.ints("scan_input_axes")?.[index] ?? 0;
  const at = axis < 0 ? axis + rank : axis;
  if (placement.axis === at) return null;
  return sharded(placement.axis < at ? placement.axis : placement.axis - 1, placement.runs);
}

/** Where what is carried may begin: as it is given, or in pieces of one axis. */
function begun(call: ShardCall, states: number): readonly (readonly Placement[])[] {
  const given = call.placements.slice(0, states);
  const ranks = given.map((_, index) => call.dims(index)?.length ?? 0);
  const axes = Array.from({ length: Math.max(0, ...ranks) }, (_, axis) => axis);
  const piece = (placement: Placement, index: number, axis: number): Placement =>
    isReplicated(placement) && axis < (ranks[index] ?? 0) ? sharded(axis) : placement;
  return [given, ...axes.map((axis) => given.map((placement, index) => piece(placement, index, axis)))];
}

/** Lets what is carried, and every part has all of, begin in pieces where a step leaves it so. */
function settled(
  first: readonly Placement[],
  placedFrom: (states: readonly Placement[]) => PlacedBody | null,
): { readonly carried: readonly Placement[]; readonly placed: PlacedBody } | null {
  let carried = first;
  for (const _ of [...first, null]) {
    const placed = placedFrom(carried);
    if (placed === null) return null;
    const next = carried.map((placement, index) => placed.outputs[index] ?? placement);
    if (JSON.stringify(next) === JSON.stringify(carried)) return { carried, placed };
    const isSettled = (placement: Placement, index: number): boolean => {
      const before = carried[index] ?? placement;
      return isReplicated(before) ? !isPartial(placement) : JSON.stringify(placement) === JSON.stringify(before);
    };
    if (!next.every(isSettled)) return null;
    carried = next;
  }
  return null;
}
