import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { readMessage } from "../../src/graph/proto/read.ts";
import { MODEL } from "../../src/graph/proto/schema.ts";
import { writeMessage } from "../../src/graph/proto/write.ts";
import { readModel } from "../../src/index.ts";
import { cli } from "../support/cli.ts";
import { temporaryFolder } from "../support/temporary.ts";

function unsorted(folder: string): string {
  const net = new Sketch("net");
  net.input("x", float([4, 3]));
  net.initializer("w", GraphTensor.floats([3, 2], [1, -1, 0.5, 2, -0.5, 0.25]));
  net.initializer("b", GraphTensor.floats([2], [0.5, -0.25]));
  net.node("MatMul", ["x", "w"], ["product"]);
  net.node("Add", ["product", "b"], ["sum"]);
  net.node("Tanh", ["sum"], ["y"]);
  net.output("y", float([4, 2]));
  const proto = readMessage(MODEL, encodeModel(model(net.graph, 8, [["", 17]])));
  proto.graph?.node?.reverse();
  const path = join(folder, "unsorted.onnx");
  writeFileSync(path, Buffer.concat([...writeMessage(MODEL, proto).parts]));
  return path;
}

it("build and gradcheck put unsorted nodes in order and say so, upgrade writes them so, others refuse them with the remedy", async () => {
  const folder = temporaryFolder();
  const path = unsorted(folder);
  const built = cli(["build", path, "--loss", "mse", "-o", join(folder, "built")]);
  expect([built.status, built.stderr]).toEqual([
    0,
    expect.stringMatching(/graph: the nodes are unsorted; they are taken/),
  ]);
  expect(built.stdout).toMatch(/2 parameters of 8 numbers/);
  expect(cli(["gradcheck", path, "--loss", "mse"]).status).toBe(0);

  const diff = cli(["diff", path, path]);
  expect([diff.status, diff.stderr]).toEqual([3, expect.stringMatching(/E_GRAPH.*onnx-agr upgrade/s)]);
  const sorted = join(folder, "sorted.onnx");
  expect(cli(["upgrade", path, "-o", sorted]).status).toBe(0);
  expect((await readModel(sorted)).graph.nodes.map(({ opType }) => opType)).toEqual(["MatMul", "Add", "Tanh"]);
});
