import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { type Plan, writePlan } from "../../src/artifacts/portable/plan.ts";
import { DEFAULT_INITIAL_RATE } from "../../src/artifacts/portable/state.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { type Model, type NamedTensors, Tensor } from "../../src/index.ts";
import type { OrtNodePrograms } from "../../src/runtime/ort-node/programs.ts";
import type { SeparatedModels } from "../../src/runtime/ort-node/separated.ts";
import { plainPrograms } from "../../src/session-settings.ts";

/** Samples of a batch, and numbers per sample. */
export interface Sizes {
  readonly batch: number;
  readonly width: number;
}

const SMALL: Sizes = { batch: 6, width: 5 };
/** Rows of the table that `ids` points into. */
const ROWS = 7;
const RATE = 0.05;

const wave = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898));

/** Half precision of numbers that it holds without a loss. */
const HALVES = Uint16Array.of(0x0000, 0x3c00, 0xbc00, 0x3800);

/** A batch in one type of element each; `scale` is one number for all of it. */
export const feeds = (seed: number, { batch, width }: Sizes = SMALL): NamedTensors => ({
  x: new Tensor("float32", wave(batch * width, seed), [batch, width]),
  ids: idsOf(Array.from({ length: batch }, (_, index) => (seed + 2 * index) % ROWS)),
  used: new Tensor(
    "bool",
    Uint8Array.from({ length: batch }, (_, index) => ((seed + index) % 3 === 0 ? 0 : 1)),
    [batch, 1],
  ),
  target: new Tensor(
    "float16",
    Uint16Array.from({ length: batch }, (_, index) => HALVES[(seed + index) % HALVES.length] ?? 0),
    [batch, 1],
  ),
  scale: new Tensor("float32", Float32Array.of(1 + (seed % 3) / 4), [1]),
});

export const idsOf = (ids: readonly number[]): Tensor =>
  new Tensor("int64", BigInt64Array.from(ids, BigInt), [ids.length]);

const INPUTS = ["x", "ids", "used", "target", "scale"];
const TABLE = { name: "table", next: null, kind: "frozen" } as const;
const PLAN: Plan = {
  ...{ role: "train_step", inputs: INPUTS, outputs: ["loss"], state: [], learningRate: null },
  ...{ step: null, reset: null, gradients: [] },
};

function planned(sketch: Sketch, plan: Partial<Plan>): Model {
  const made = model(sketch.graph, 8, [["", 17]]);
  writePlan(made, { ...PLAN, ...plan });
  return made;
}

/** Squares of a linear function, as a mean: the loss, and the gradient of `w`. */
function forwardAndBackward(samples: number, width: number): Sketch {
  const sketch = new Sketch("step");
  sketch.input("x", float([samples, width]));
  sketch.input("ids", tensor(DataType.int64, [samples]));
  sketch.input("used", tensor(DataType.bool, [samples, 1]));
  sketch.input("target", tensor(DataType.float16, [samples, 1]));
  sketch.input("scale", float([1]));
  sketch.input("table", float([ROWS, width]));
  sketch.input("w", float([width, 1]));
  sketch.input("learning_rate", float([1]));
  sketch.initializer("share", GraphTensor.from(DataType.float, [], Float32Array.of(2 / samples)));
  sketch.node("Gather", ["table", "ids"], ["rows"]);
  sketch.node("Mul", ["x", "scale"], ["scaled"]);
  sketch.node("Add", ["scaled", "rows"], ["sum"]);
  sketch.node("Cast", ["used"], ["mask"], [attribute.int("to", DataType.float)]);
  sketch.node("Mul", ["sum", "mask"], ["features"]);
  sketch.node("MatMul", ["features", "w"], ["product"]);
  sketch.node("Cast", ["target"], ["wanted"], [attribute.int("to", DataType.float)]);
  sketch.node("Sub", ["product", "wanted"], ["difference"]);
  sketch.node("Mul", ["difference", "difference"], ["squares"]);
  sketch.node("ReduceMean", ["squares"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.node("Transpose", ["features"], ["turned"], [attribute.ints("perm", [1, 0])]);
  sketch.node("MatMul", ["turned", "difference"], ["slope"]);
  sketch.node("Mul", ["slope", "share"], ["w.grad"]);
  sketch.output("loss", float([]));
  return sketch;
}

function whole({ batch, width }: Sizes): Model {
  const sketch = forwardAndBackward(batch, width);
  sketch.node("Mul", ["w.grad", "learning_rate"], ["change"]);
  sketch.node("Sub", ["w", "change"], ["w.next"]);
  sketch.output("w.next", float([width, 1]));
  const state = [{ name: "w", next: "w.next", kind: "parameter" } as const, TABLE];
  return planned(sketch, { state, learningRate: "learning_rate" });
}

/** The same step with its batch in two. */
export function inParts({ batch, width }: Sizes = SMALL): SeparatedModels {
  const part = forwardAndBackward(batch / 2, width);
  part.node("Mul", ["w.grad", "learning_rate"], ["change"]);
  part.output("change", float([width, 1]));
  const state = [{ name: "w", next: null, kind: "parameter" } as const, TABLE];
  const shard = planned(part, { outputs: ["loss", "change"], state, learningRate: "learning_rate" });

  const rest = new Sketch("rest");
  const given = ["loss/0", "loss/1", "change/0", "change/1"];
  for (const name of given) rest.input(name, float(name.startsWith("loss") ? [] : [width, 1]));
  rest.initializer("half", GraphTensor.from(DataType.float, [], Float32Array.of(0.5)));
  for (const name of ["loss", "change"]) {
    rest.node("Add", [`${name}/0`, `${name}/1`], [`${name}.sum`]);
    rest.node("Mul", [`${name}.sum`, "half"], [name]);
  }
  rest.output("loss", float([]));
  rest.output("change", float([width, 1]));

  const update = new Sketch("update");
  update.input("loss", float([]));
  update.input("w", float([width, 1]));
  update.input("change", float([width, 1]));
  update.node("Sub", ["w", "change"], ["w.next"]);
  update.output("w.next", float([width, 1]));
  const renewed = [{ name: "w", next: "w.next", kind: "parameter" } as const];
  return {
    step: planned(rest, { inputs: given }),
    update: planned(update, { role: "apply", inputs: ["loss"], outputs: [], state: renewed }),
    shards: { model: shard, count: 2 },
  };
}

/** What a session runs: a whole step, and the same one in parts. */
export function programs(sharded: SeparatedModels | null, sizes: Sizes = SMALL): OrtNodePrograms {
  const { width } = sizes;
  const state = {
    ...{ step: 0, nominal: false, initialLearningRate: DEFAULT_INITIAL_RATE, properties: new Map() },
    tensors: new Map([
      ["w", GraphTensor.from(DataType.float, [width, 1], wave(width, 3))],
      ["table", GraphTensor.from(DataType.float, [ROWS, width], wave(ROWS * width, 4))],
    ]),
  };
  const models = { trainStep: whole(sizes), gradients: null, apply: null, evalModel: null, state };
  const plain = plainPrograms(models, { learningRate: RATE }, () => new Uint8Array());
  return { ...plain, separated: { ...plain.separated, sharded } };
}
