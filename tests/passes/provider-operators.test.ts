import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { encodeModel } from "../../src/entries/graph.ts";
import { walkGraphs } from "../../src/graph/model.ts";
import { buildTrainingArtifacts, type Model, readModel } from "../../src/index.ts";
import { openSession } from "../support/ort.ts";
import { hasShared, SHARED } from "../support/shared.ts";

/** ONNX Runtime's own table of what its WebGPU provider takes, with the opsets: it comes with the package. */
const TABLE = fileURLToPath(new URL("../../node_modules/onnxruntime-web/docs/webgpu-operators.md", import.meta.url));

/** By operator, ranges of opsets that a kernel is for. */
function webgpuOperators(): ReadonlyMap<string, readonly (readonly [from: number, to: number])[]> {
  const rows = [...readFileSync(TABLE, "utf8").matchAll(/^\| (\w+) \| ai\.onnx\(([^)]*)\)/gm)];
  return new Map(
    rows.map(([, op = "", opsets = ""]) => [
      op,
      opsets.split(",").map((range) => {
        const [from = "", to = from] = range.replace("+", "-Infinity").split("-");
        return [Number(from), Number(to)] as const;
      }),
    ]),
  );
}

/** What lowered graphs have beside those, and what becomes of it on a GPU. */
const BESIDE: Readonly<Record<string, string>> = {
  Constant: "an initializer once the model is loaded",
  Identity: "taken out when the model is loaded, or a copy",
  Dropout: "draws or does nothing, on the CPU",
  LogSoftmax: "on the CPU: the loss, once",
  ScatterElements: "on the CPU: the gradient at the labels, of maxima, embeddings and slices",
  Sum: "on the CPU: gradients of what is read three times or more",
  ConstantOfShape: "on the CPU: zeros that gradients are scattered into",
  And: "on the CPU: ties of maxima",
  Size: "on the CPU, and counts an open batch",
  SpaceToDepth: "on the CPU: pictures by blocks, where they come in",
  EyeLike: "on the CPU: small, of kernels of transposed convolutions",
};

const zoo = hasShared ? readdirSync(`${SHARED}zoo`).filter((name) => name.endsWith(".onnx")) : [];

async function lowered(name: string): Promise<readonly (readonly [name: string, model: Model])[]> {
  const { portable } = await buildTrainingArtifacts(await readModel(`${SHARED}zoo/${name}`), {
    loss: { kind: name === "unet.onnx" ? "mse" : "cross-entropy" },
    agr: {},
    targets: ["portable"],
  });
  const { trainStep = null, gradients = null, apply = null, evalModel = null } = portable ?? {};
  return Object.entries({ trainStep, gradients, apply, evalModel }).flatMap(([part, model]) =>
    model === null ? [] : [[part, model] as const],
  );
}

/** ONNX's own operators of a model, those in the bodies of its functions too. */
const operatorsOf = (model: Model): ReadonlySet<string> => {
  const graphs = model.rootGraphs.flatMap((root) => [...walkGraphs(root)]);
  return new Set(graphs.flatMap(({ nodes }) => nodes.flatMap(({ domain, opType }) => (domain === "" ? [opType] : []))));
};

describe.skipIf(!hasShared || !existsSync(TABLE))("every lowered graph of the zoo has operators that", () => {
  const used = new Set<string>();

  it.each(zoo)("WebGPU takes, or that are known to run beside it: %s", async (name) => {
    const table = webgpuOperators();
    expect(table.size).toBeGreaterThan(80);
    for (const [part, model] of await lowered(name)) {
      const { opset } = model;
      const isTaken = (op: string): boolean =>
        table.get(op)?.some(([from, to]) => opset >= from && opset <= to) ?? false;
      const others = [...operatorsOf(model)].filter((op) => !isTaken(op));
      expect([part, others.filter((op) => !(op in BESIDE))]).toEqual([part, []]);
      for (const op of others) used.add(op);
    }
  });

  it("are the only ones of that list", () => {
    expect([...used].sort()).toEqual(Object.keys(BESIDE).sort());
  });

  it.each(zoo)("the CPU has kernels for: %s", async (name) => {
    for (const [, model] of await lowered(name)) {
      const session = await openSession(encodeModel(model), {
        executionProviders: ["cpu"],
        logSeverityLevel: 4,
      });
      expect(session.outputNames).toEqual(model.graph.outputs.map((output) => output.name));
      await session.release();
    }
  });
});
