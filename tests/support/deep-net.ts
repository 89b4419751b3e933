import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type NamedTensors, type PortableArtifacts, Tensor } from "../../src/index.ts";
import { agr, wave } from "./optimizer-cases.ts";

export const [BATCH, CLASSES] = [512, 4];
const [INPUTS, WIDTH, LAYERS] = [16, 96, 7];

/** A training set of a net of some layers, whose samples are worth computing in two parts. */
export async function deepSet(): Promise<PortableArtifacts> {
  const sketch = new Sketch("network");
  sketch.input("x", float([BATCH, INPUTS]));
  let y = "x";
  const layer = (name: string, inputs: number, outputs: number, seed: number): void => {
    const weights = wave(inputs * outputs, seed).map((value) => value / 3);
    sketch.initializer(`${name}.w`, GraphTensor.from(DataType.float, [inputs, outputs], weights));
    sketch.initializer(`${name}.b`, GraphTensor.from(DataType.float, [outputs], wave(outputs, seed + 1)));
    sketch.node("MatMul", [y, `${name}.w`], [`${name}.product`]);
    sketch.node("Add", [`${name}.product`, `${name}.b`], [name]);
  };
  for (let index = 0; index < LAYERS; index++) {
    layer(`layer${index}`, index === 0 ? INPUTS : WIDTH, WIDTH, 2 * index);
    sketch.node("Tanh", [`layer${index}`], [`y${index}`]);
    y = `y${index}`;
  }
  layer("scores", WIDTH, CLASSES, 2 * LAYERS);
  sketch.output("scores", float([BATCH, CLASSES]));
  const { portable } = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), {
    ...{ loss: { kind: "cross-entropy" }, targets: ["portable"], optimizer: { name: "adamw" }, agr },
  });
  if (portable === null) throw new Error("no portable set was built");
  return portable;
}

export const feeds = (seed: number): NamedTensors => ({
  x: new Tensor("float32", wave(BATCH * INPUTS, seed + 20), [BATCH, INPUTS]),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: BATCH }, (_, at) => BigInt((at + seed) % CLASSES)),
    [BATCH],
  ),
});
