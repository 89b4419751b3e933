import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type PortableArtifacts } from "../../src/index.ts";
import { CE, wave } from "./conv-net.ts";

/** Of all layers. */
export const WIDTH = 128;
const LAYERS = 8;

/** Fully connected layers, all of one width, whose batches are computed in parts; the samples of a batch, or a name where they are open. */
export async function wideNet(samples: number | string): Promise<PortableArtifacts> {
  const sketch = new Sketch("net");
  sketch.input("x", float([samples, WIDTH]));
  for (let layer = 0; layer < LAYERS; layer++) {
    const weight = wave(WIDTH * WIDTH, layer).map((number) => number / 6);
    sketch.initializer(`w${layer}`, GraphTensor.floats([WIDTH, WIDTH], [...weight]));
    sketch.node(
      "Gemm",
      [layer === 0 ? "x" : `y${layer - 1}`, `w${layer}`],
      [`z${layer}`],
      [attribute.int("transB", 1)],
    );
    sketch.node("Tanh", [`z${layer}`], [`y${layer}`]);
  }
  sketch.output(`y${LAYERS - 1}`, float([samples, WIDTH]));
  const net = model(sketch.graph, 8, [["", 17]]);
  const made = await buildTrainingArtifacts(net, {
    ...CE,
    optimizer: { name: "adamw" },
    agr: {},
    targets: ["portable"],
  });
  if (made.portable === null) throw new Error("a portable set was asked for");
  return made.portable;
}
