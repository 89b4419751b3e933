import { type Attribute, attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { paddingRowOf } from "../../ops/padding-row.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { again, byPlaces } from "../places.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** Operators that read or write elements at indices. */

function gather(b: Backward): InputGradients {
  const { f, sizes } = b;
  const rank = b.rank(0);
  const axis = b.axis();
  const given = b.input(1);
  const indices = elementTypeOf(given) === DataType.int64 ? given : f.cast(given, DataType.int64);
  const count = b.rank(1);
  const known = count === 0 ? b.constantsOrNull(1) : null;
  const [index] = known ?? [];
  const dy = withoutPadding(b, count);
  if (index !== undefined && index >= 0) {
    const begin = axesFrom(0, rank).map((at) => (at === axis ? index : 0));
    const row = f.unsqueeze(dy, [axis]);
    const size = sizes.sub(sizes.of(b.input(0), axis, axis + 1), [index + 1]);
    const end = sizes.concat(
      axesFrom(0, axis).map(() => 0),
      size,
      axesFrom(axis + 1, rank).map(() => 0),
    );
    return [f.emit("Pad", [row, sizes.value(sizes.concat(begin, end))])];
  }
  const front = axesFrom(0, axis);
  /** The gathered axes first, then what was before them. */
  const moved = f.transpose(dy, [
    ...axesFrom(axis, axis + count),
    ...front,
    ...axesFrom(axis + count, rank + count - 1),
  ]);
  const dims = sizes.of(b.input(0));
  const first = [axis, ...front, ...axesFrom(axis + 1, rank)];
  const shape = sizes.concat(...first.map((at) => sizes.slice(dims, at, at + 1)));
  const added = f.addRows(sizes.value(shape), indices, moved);
  return [
    f.transpose(
      added,
      first.map((_, at) => first.indexOf(at)),
    ),
  ];
}

/** dY, zero where the row is read that gets no gradient. */
function withoutPadding(b: Backward, count: number): Value {
  const { f } = b;
  const row = paddingRowOf(b.node);
  if (row === null) return b.dy;
  const isPadding = f.typed(DataType.int64).equal(f.cast(b.input(1), DataType.int64), row);
  const width = b.rank(0) - 1;
  return f.where(width === 0 ? isPadding : f.unsqueeze(isPadding, axesFrom(count, count + width)), 0, b.dy);
}

function gatherElements(b: Backward): InputGradients {
  return [b.f.scatterAdd(b.f.shape(b.input(0)), b.input(1), b.dy, b.int("axis"))];
}

function gatherNd(b: Backward): InputGradients {
  return [byPlaces(b, (places) => again(b, places))];
}

/** How one of the scatters reads elements from where its updates went, and puts others there. */
interface Places {
  readonly pick: (from: Value) => Value;
  readonly place: (onto: Value, updates: Value, reduction?: string) => Value;
}

/** Data that is written over has no gradient; what is added to has dY whole. The updates read dY where they went. */
function scatter(b: Backward, places: Places): InputGradients {
  const { f } = b;
  const reduction = b.string("reduction");
  if (reduction === "max" || reduction === "min") return scatteredExtreme(b, places);
  if (reduction === "mul") return scatteredProduct(b, places);
  if (reduction !== "none" && reduction !== "add") throw b.refuse(`its reduction is ${reduction}`);
  const updates = b.wants(2) ? places.pick(b.dy) : null;
  return [reduction === "add" ? b.dy : places.place(b.dy, f.zeros(f.shape(b.input(2)))), null, updates];
}

/** What is the largest, or smallest, has the gradient; what ties shares it equally, as PyTorch has it. */
function scatteredExtreme(b: Backward, { pick, place }: Places): InputGradients {
  const { f } = b;
  const y = b.output(0);
  const isData = f.cast(f.equal(b.input(0), y), f.dtype);
  const isUpdate = f.cast(f.equal(b.input(2), pick(y)), f.dtype);
  const share = f.div(b.dy, place(isData, isUpdate, "add"));
  return [f.mul(share, isData), null, f.mul(pick(share), isUpdate)];
}

/** Each factor has dY times the product of the others, which zeros among them do not spoil. */
function scatteredProduct(b: Backward, { pick, place }: Places): InputGradients {
  const { f } = b;
  const [data, updates] = [b.input(0), b.input(2)];
  const ones = f.add(f.zeros(f.shape(data)), 1);
  const dData = f.mul(b.dy, place(ones, updates, "mul"));
  if (!b.wants(2)) return [dData];
  const isZero = f.equal(updates, 0);
  const zeros = place(f.zeros(f.shape(data)), f.cast(isZero, f.dtype), "add");
  const others = place(data, f.where(isZero, 1, updates), "mul");
  const alone = f.where(f.greater(zeros, 1), 0, others);
  const ofZero = pick(f.mul(b.dy, alone));
  const ofOther = f.div(pick(f.mul(b.dy, b.output(0))), f.where(isZero, 1, updates));
  return [dData, null, f.where(isZero, ofZero, ofOther)];
}

const reducing = (reduction: string | undefined): readonly Attribute[] =>
  reduction === undefined ? [] : [attribute.string("reduction", reduction)];

function scatterElements(b: Backward): InputGradients {
  const axis = attribute.int("axis", b.int("axis"));
  return scatter(b, {
    pick: (from) => b.f.emit("GatherElements", [from, b.input(1)], { attributes: [axis] }),
    place: (onto, updates, reduction) =>
      b.f.emit("ScatterElements", [onto, b.input(1), updates], { attributes: [axis, ...reducing(reduction)] }),
  });
}

function scatterNd(b: Backward): InputGradients {
  return scatter(b, {
    pick: (from) => b.f.emit("GatherND", [from, b.input(1)]),
    place: (onto, updates, reduction) =>
      b.f.emit("ScatterND", [onto, b.input(1), updates], { attributes: reducing(reduction) }),
  });
}

function topK(b: Backward): InputGradients {
  return [b.f.scatterAdd(b.f.shape(b.input(0)), b.output(1), b.dy, b.int("axis"))];
}

export const INDEXING_RULES: GradientTable = {
  Gather: { gradient: gather },
  GatherElements: { gradient: gatherElements },
  GatherND: { gradient: gatherNd },
  ScatterElements: { gradient: scatterElements },
  ScatterND: { gradient: scatterNd },
  TopK: { gradient: topK },
};
