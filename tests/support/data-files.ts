import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";

/** Digits as IDX files of bytes, and the same numbers as safetensors of floats. */
export function digits(folder: string, count: number) {
  const [images, labels] = drawDigits(count, 3).map(({ tensor }) => tensor) as [GraphTensor, GraphTensor];
  const bytes = Uint8Array.from(images.values() as Float32Array, (value) =>
    Math.max(0, Math.min(255, Math.round(255 * value))),
  );
  const head = (...sizes: readonly number[]): number[] => [
    0,
    0,
    8,
    sizes.length,
    ...sizes.flatMap((n) => [0, 0, n >> 8, n & 255]),
  ];
  const idx = [
    [join(folder, "images.idx.gz"), gzipSync(Uint8Array.from([...head(count, 16, 16), ...bytes]))],
    [join(folder, "labels.idx"), Uint8Array.from([...head(count), ...[...labels.values()].map(Number)])],
  ] as const;
  for (const [path, content] of idx) writeFileSync(path, content);
  const floats = GraphTensor.floats(
    [count, 1, 16, 16],
    [...bytes].map((value) => value / 255),
  );
  const safetensors = join(folder, "digits.safetensors");
  writeFileSync(
    safetensors,
    encodeSafetensors([
      { name: "input", tensor: floats },
      { name: "labels", tensor: labels },
    ]),
  );
  return { idx: idx.map(([path]) => path).join(","), safetensors };
}

/** y = x w: three features to `outputs`. */
export function linear(folder: string, outputs: number): string {
  const sketch = new Sketch("linear");
  sketch.input("x", float(["N", 3]));
  sketch.initializer(
    "w",
    GraphTensor.floats(
      [3, outputs],
      Array.from({ length: 3 * outputs }, (_, at) => at / 10),
    ),
  );
  sketch.node("MatMul", ["x", "w"], ["y"]);
  sketch.output("y", float(["N", outputs]));
  const path = join(folder, "linear.onnx");
  writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
  return path;
}
