import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, type Node } from "../../src/entries/graph.ts";
import { fromBfloat, fromHalf, toBfloat, toHalf } from "../../src/graph/half.ts";
import { buildTrainingArtifacts } from "../../src/index.ts";
import { convNet } from "../support/conv-net.ts";
import { openSession } from "../support/ort.ts";

const TYPES = { float16: DataType.float16, bfloat16: DataType.bfloat16 } as const;
type Type = keyof typeof TYPES;
const rounded = (type: Type, value: number): number =>
  type === "float16" ? fromHalf(toHalf(value)) : fromBfloat(toBfloat(value));

const cast = (sketch: Sketch, from: string, to: string, type: number): void => {
  sketch.node("Cast", [from], [to], [attribute.int("to", type)]);
};

/** What products take, small. */
const PRODUCTS: Readonly<Record<string, readonly (readonly number[])[]>> = {
  MatMul: [
    [2, 3],
    [3, 2],
  ],
  Gemm: [
    [2, 3],
    [3, 2],
  ],
  Conv: [
    [1, 1, 4, 4],
    [1, 1, 2, 2],
  ],
  ConvTranspose: [
    [1, 1, 4, 4],
    [1, 1, 2, 2],
  ],
  Einsum: [
    [2, 3],
    [3, 2],
  ],
};

/** A product in a type of half precision. @param fed the type of its inputs, which Casts are put behind where it is another */
function product(op: string, type: Type, fed: number = DataType.float): Uint8Array {
  const sketch = new Sketch("product");
  for (const [index, shape] of (PRODUCTS[op] ?? []).entries()) {
    const isDirect = fed === TYPES[type];
    sketch.input(isDirect ? `low${index}` : `x${index}`, { kind: "tensor", dtype: fed, shape });
    if (!isDirect) cast(sketch, `x${index}`, `low${index}`, TYPES[type]);
  }
  const equation = op === "Einsum" ? [attribute.string("equation", "ij,jk->ik")] : [];
  sketch.node(op, ["low0", "low1"], ["low"], equation);
  cast(sketch, "low", "y", DataType.float);
  sketch.output("y", { kind: "tensor", dtype: DataType.float, shape: null });
  return encodeModel(model(sketch.graph, 10, [["", 20]]));
}

const wave = (dims: readonly number[], seed: number): Tensor =>
  new Tensor(
    "float32",
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, at) => Math.sin(at * 1.7 + seed)),
    [...dims],
  );

const numbersOf = (tensor: Tensor | undefined): readonly number[] => Array.from(tensor?.data ?? [], Number);

const feeds = (op: string): Record<string, Tensor> =>
  Object.fromEntries((PRODUCTS[op] ?? []).map((dims, index) => [`x${index}`, wave(dims, index)]));

/** Nodes that ran, by name, as ONNX Runtime's profiler has them. */
async function nodesOf(bytes: Uint8Array, inputs: Record<string, Tensor>): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
  try {
    const session = await openSession(bytes, { enableProfiling: true, profileFilePrefix: join(folder, "run") });
    await session.run(inputs);
    session.endProfiling();
    await session.release();
    const [file = ""] = readdirSync(folder);
    const events = JSON.parse(readFileSync(join(folder, file), "utf8")) as { cat: string; name: string }[];
    return events.flatMap(({ cat, name }) => (cat === "Node" && name.endsWith("_kernel_time") ? [name] : []));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe.skipIf(process.arch !== "x64")("onnxruntime-node's CPU provider", () => {
  it.each(Object.keys(PRODUCTS))("has no float16 kernel of %s, and puts Casts of its own around it", async (op) => {
    const inputs = Object.entries(feeds(op)).map(([name, { dims, size }]) => {
      const ones = Uint16Array.from({ length: size }, () => toHalf(1));
      return [name.replace("x", "low"), new Tensor("float16", ones, [...dims])] as const;
    });
    const names = await nodesOf(product(op, "float16", DataType.float16), Object.fromEntries(inputs));
    expect(names.filter((name) => name.startsWith("InsertedPrecisionFreeCast_")).length).toBeGreaterThan(0);
  });

  it("leaves the rounding out with them, which is why the Casts are in the graph", async () => {
    const session = await openSession(product("MatMul", "float16"));
    const values = numbersOf((await session.run(feeds("MatMul")))["y"]);
    await session.release();
    expect(values.some((value) => rounded("float16", value) !== value)).toBe(true);
  });

  it.each(Object.keys(PRODUCTS))("has no bfloat16 kernel of %s", async (op) => {
    await expect(openSession(product(op, "bfloat16"))).rejects.toThrow(/implementation|Type Error|invalid model/i);
  });
});

describe.each(["float16", "bfloat16"] as const)("a product between Casts to %s", (type) => {
  it.each(["disabled", "basic", "extended", "all"] as const)(
    "is of rounded operands and rounded itself, with graph optimizations %s",
    async (level: InferenceSession.SessionOptions["graphOptimizationLevel"] & string) => {
      const sketch = new Sketch("rounded");
      const round = (name: string): string => {
        cast(sketch, name, `${name}.low`, TYPES[type]);
        cast(sketch, `${name}.low`, `${name}.back`, DataType.float);
        return `${name}.back`;
      };
      sketch.input("a", float([4, 5]));
      sketch.input("b", float([5, 3]));
      sketch.node("MatMul", [round("a"), round("b")], ["c"]);
      sketch.output(round("c"), float([4, 3]));
      const session = await openSession(encodeModel(model(sketch.graph, 10, [["", 20]])), {
        graphOptimizationLevel: level,
      });
      const [a, b] = [wave([4, 5], 1), wave([5, 3], 2)];
      const result = await session.run({ a, b });
      await session.release();
      const [left, right] = [a, b].map(({ data }) => Array.from(data as Float32Array, (value) => rounded(type, value)));
      const expected = Array.from({ length: 12 }, (_, at) => {
        const [row, column] = [Math.floor(at / 3), at % 3];
        const sum = [0, 1, 2, 3, 4].reduce(
          (total, k) => total + (left?.[5 * row + k] ?? 0) * (right?.[3 * k + column] ?? 0),
          0,
        );
        return rounded(type, Math.fround(sum));
      });
      expect(numbersOf(result["c.back"])).toEqual(expected);
    },
  );
});

describe("a training step of mixed precision", () => {
  const build = (precision: "float16" | "bfloat16") =>
    buildTrainingArtifacts(convNet({ batch: 4 }), {
      ...{ loss: { kind: "cross-entropy" }, agr: {}, precision, targets: ["portable"] },
      optimizer: { name: "adamw", clipNorm: 1 },
    });

  const throughCast = (node: Node, type: number): boolean =>
    node.inputs.every((value) => {
      const back = value?.producer ?? null;
      const low = back?.inputs[0]?.producer ?? null;
      return back?.opType === "Cast" && low?.attributes.get("to")?.value === BigInt(type);
    });

  it.each(["float16", "bfloat16"] as const)(
    "has %s nowhere but between products, and no float32 lost",
    async (type) => {
      const { portable } = await build(type);
      const { graph } = portable?.trainStep ?? expect.fail("there is no step");
      const forward = graph.nodes.filter(({ opType }) => opType === "Conv" || opType === "Gemm");
      expect(forward.length).toBeGreaterThanOrEqual(2);
      expect(forward.filter((node) => throughCast(node, TYPES[type])).length).toBeGreaterThanOrEqual(2);
      for (const { opType, inputs, outputs } of graph) {
        if (opType === "Cast") continue;
        for (const value of [...inputs, ...outputs]) {
          const dtype = value?.type?.kind === "tensor" ? value.type.dtype : DataType.float;
          expect([opType, dtype]).not.toEqual([opType, TYPES[type]]);
        }
      }
      for (const { type: held } of graph.inputs) {
        expect(held?.kind === "tensor" && [DataType.float, DataType.int64].some((each) => each === held.dtype)).toBe(
          true,
        );
      }
    },
  );

  it("leaves the eval model as it is without", async () => {
    const [mixed, plain] = [
      await build("bfloat16"),
      await buildTrainingArtifacts(convNet({ batch: 4 }), { loss: { kind: "cross-entropy" }, targets: ["portable"] }),
    ];
    const bytes = ({ portable }: typeof plain) =>
      portable?.evalModel == null ? expect.fail("there is none") : encodeModel(portable.evalModel);
    expect(bytes(mixed)).toEqual(bytes(plain));
  });
});
