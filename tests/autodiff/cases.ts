import { readdirSync, readFileSync } from "node:fs";
import { Tensor } from "onnxruntime-node";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import {
  type Attribute,
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  Graph,
  GraphTensor,
  lowerTrainingOps,
  Node,
  Value,
} from "../../src/entries/graph.ts";
import { walkGraphs } from "../../src/graph/model.ts";
import { Model } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { decompose } from "../../src/passes/decompose/index.ts";
import { IN_FLOAT64 } from "../../src/passes/float64/table.ts";
import { numbersOf } from "../../src/runtime/ort-tensor.ts";
import { openSession } from "../support/ort.ts";

interface Numbers {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

interface Input extends Numbers {
  readonly name: string;
  readonly type: "float" | "int64" | "int32" | "bool";
}

/** A value under its kind. */
type AttributeValue =
  | { readonly float: number }
  | { readonly int: number }
  | { readonly string: string }
  | { readonly floats: readonly number[] }
  | { readonly ints: readonly number[] }
  | { readonly strings: readonly string[] };

/** One node, and the gradients of sum(weights * outputs) as PyTorch has them. */
export interface GradientCase {
  readonly op: string;
  readonly title: string;
  readonly domain: string;
  readonly opset: number;
  /** Why there are no central differences in float64; null where there are. */
  readonly single: "no float64 kernel" | null;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly inputs: readonly (Input | null)[];
  /** Inputs whose shape the rule must know. */
  readonly static: readonly string[];
  /** The axes that may be symbols; null: all. */
  readonly open: readonly number[] | null;
  /** False where the rule needs all shapes. */
  readonly dynamic: boolean;
  readonly outputs: readonly Numbers[];
  readonly weights: readonly Numbers[];
  readonly gradients: Readonly<Record<string, Numbers>>;
}

const FOLDER = new URL("pytorch/", import.meta.url);

/** One file per family of operators, made by scripts/reference/gradients. */
export const CASES: readonly GradientCase[] = readdirSync(FOLDER)
  .toSorted()
  .flatMap((name) => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")) as readonly GradientCase[]);

export const nameOf = ({ op, title, domain }: GradientCase): string =>
  `${domain === "" ? "" : `${domain}.`}${op}${title === "" ? "" : `, ${title}`}`;

const utf8 = new TextEncoder();

/** An attribute of the kind that the case says. */
function attributeOf(name: string, value: AttributeValue): Attribute {
  if ("float" in value) return attribute.float(name, value.float);
  if ("int" in value) return attribute.int(name, value.int);
  if ("string" in value) return attribute.string(name, value.string);
  if ("floats" in value) return attribute.floats(name, value.floats);
  if ("ints" in value) return attribute.ints(name, value.ints);
  return { name, kind: "strings", value: value.strings.map((each) => utf8.encode(each)) };
}

const DTYPES = { int64: DataType.int64, int32: DataType.int32, bool: DataType.bool } as const;

/** The graph of a case with its loss, and the gradients of the inputs asked for. */
export interface Built {
  readonly model: Model;
  readonly gradients: Readonly<Record<string, string>>;
  /** Domains of the operators that the gradients are written in. */
  readonly domains: ReadonlySet<string>;
}

/** The node of a case with its results as outputs: shapes are the case's own, and what is no number of float32 is constant. */
export function forward(testCase: GradientCase): Model {
  const { model, results } = sketch(testCase, "float", false);
  for (const value of results) value.type = { kind: "tensor", dtype: DataType.float, shape: null };
  model.graph.replaceOutputs(results);
  return model;
}

interface Sketched {
  readonly model: Model;
  readonly results: readonly Value[];
  readonly more: readonly Value[];
}

function sketch(testCase: GradientCase, real: "float" | "double", dynamic: boolean): Sketched {
  const { op, domain, opset, attributes, inputs, outputs } = testCase;
  const graph = new Graph("case");
  const model = new Model(opset > 21 ? 11 : 8, graph);
  model.opsets.set("", opset);
  if (domain !== "") model.opsets.set(domain, 1);
  const dtype = DataType[real];
  const wanted = new Set(Object.keys(testCase.gradients));
  const values = inputs.map((input) => {
    if (input === null) return null;
    const isOpen = dynamic && testCase.dynamic && wanted.has(input.name) && !testCase.static.includes(input.name);
    const shape = input.dims.map((dim, axis) =>
      isOpen && (testCase.open?.includes(axis) ?? true) ? `${input.name}${axis}` : dim,
    );
    const value = new Value(input.name, {
      kind: "tensor",
      dtype: input.type === "float" ? scalarType(testCase, input.name, dtype) : DTYPES[input.type],
      shape,
    });
    if (wanted.has(input.name)) graph.inputs.push(value);
    else {
      value.tensor = tensorOf(input, value.type?.kind === "tensor" ? value.type.dtype : dtype);
      graph.initializers.push(value);
    }
    return value;
  });
  const results = outputs.map((_, index) => new Value(`y${index}`));
  const all = Object.entries(attributes).map(([name, value]) =>
    attributeOf(name, name === "to" || name === "stash_type" ? { int: dtype } : value),
  );
  const more = moreOutputs(testCase, dtype).map(
    ([name, type]) => new Value(name, { kind: "tensor", dtype: type, shape: null }),
  );
  graph.append(new Node(op, values, [...results, ...more], { domain, attributes: all, name: "node" }));
  return { model, results, more };
}

/**
 * Builds a case.
 * @param dynamic declares shapes with symbols where the case allows it
 */
export function build(testCase: GradientCase, real: "float" | "double", dynamic: boolean): Built {
  const { weights } = testCase;
  const { model, results, more } = sketch(testCase, real, dynamic);
  const { graph } = model;
  const dtype = DataType[real];
  const wanted = new Set(Object.keys(testCase.gradients));
  const parts = results.map((result, index) => {
    const weight = new Value(`w${index}`, { kind: "tensor", dtype, shape: weights[index]?.dims ?? [] });
    weight.tensor = tensorOf(weights[index] as Numbers, dtype);
    graph.initializers.push(weight);
    const [product, sum] = [new Value(`product${index}`), new Value(`sum${index}`)];
    graph.append(
      new Node("Mul", [result, weight], [product]),
      new Node("ReduceSum", [product], [sum], { attributes: [attribute.int("keepdims", 0)] }),
    );
    return sum;
  });
  const loss = new Value("loss", { kind: "tensor", dtype, shape: [] });
  graph.append(new Node("Sum", parts, [loss]));
  decompose(model);
  const types = inferTypes(model);
  const asked = graph.inputs.filter(({ name }) => wanted.has(name));
  const forward = new Set(graph.nodes);
  const gradients = addGradients(model, loss, asked, types);
  const emitted = [...walkGraphs(graph)].flatMap(({ nodes }) => nodes).filter((node) => !forward.has(node));
  const named: Record<string, string> = {};
  for (const [value, gradient] of gradients) {
    gradient.type = { kind: "tensor", dtype, shape: null };
    named[value.name] = gradient.name;
  }
  for (const value of results) value.type = { kind: "tensor", dtype, shape: null };
  const made = more.filter(({ producer }) => (producer?.graph ?? null) !== null);
  graph.replaceOutputs([loss, ...results, ...made, ...new Set(gradients.values())]);
  removeDeadNodes(graph);
  lowerTrainingOps(model);
  if (real === "double") decompose(model, IN_FLOAT64);
  checkModel(decodeModel(encodeModel(model)));
  return { model, gradients: named, domains: new Set(emitted.map(({ domain: of }) => of)) };
}

const isTraining = (mode: AttributeValue | undefined): boolean => mode !== undefined && "int" in mode && mode.int === 1;

/** Outputs that a node must have beside those the case is about. */
function moreOutputs(
  { op, attributes }: GradientCase,
  real: number,
): readonly (readonly [name: string, dtype: number])[] {
  if (op === "TopK") return [["indices", DataType.int64]];
  if (op === "EmbedLayerNormalization") return [["lengths", DataType.int32]];
  if (op !== "BatchNormalization" || !isTraining(attributes["training_mode"])) return [];
  return [
    ["rm", real],
    ["rv", real],
  ];
}

/** Scales of Resize are float32 whatever is resized. */
const scalarType = ({ op }: GradientCase, name: string, dtype: number): number =>
  op === "Resize" && name === "scales" ? DataType.float : dtype;

/** JSON has no exact form of the largest int64, which stands for the end. */
const wholeNumber = (value: number): bigint => (value >= 2 ** 63 ? 2n ** 63n - 1n : BigInt(value));

function tensorOf({ dims, data }: Numbers, dtype: number): GraphTensor {
  if (dtype === DataType.int64) return GraphTensor.from(dtype, dims, BigInt64Array.from(data, wholeNumber));
  if (dtype === DataType.int32) return GraphTensor.from(dtype, dims, Int32Array.from(data));
  if (dtype === DataType.bool) return GraphTensor.from(dtype, dims, Uint8Array.from(data));
  return GraphTensor.from(dtype, dims, dtype === DataType.double ? Float64Array.from(data) : Float32Array.from(data));
}

/** What a forward model of a case gives in float32, each operator run as it is written. */
export async function outputsOf(
  model: Model,
  { inputs, outputs }: GradientCase,
): Promise<readonly (readonly number[])[]> {
  const session = await openSession(encodeModel(model), { graphOptimizationLevel: "disabled" });
  const own = new Map(inputs.flatMap((input) => (input === null ? [] : [[input.name, input] as const])));
  const feeds = Object.fromEntries(
    session.inputNames.map((name) => {
      const { data = [], dims = [] } = own.get(name) ?? {};
      return [name, new Tensor("float32", Float32Array.from(data), [...dims])];
    }),
  );
  const results = await session.run(feeds);
  await session.release();
  return outputs.map((_, index) => {
    const y = results[`y${index}`];
    return y === undefined ? [] : numbersOf(y);
  });
}

export interface Runner {
  readonly run: (
    inputs: Readonly<Record<string, readonly number[]>>,
    fetches?: readonly string[],
  ) => Promise<Readonly<Record<string, readonly number[]>>>;
  readonly release: () => Promise<void>;
}

/** A session over a built case; inputs that are not given are the case's own. */
export async function open(testCase: GradientCase, { model }: Built, real: "float" | "double"): Promise<Runner> {
  const session = await openSession(encodeModel(model), {
    graphOptimizationLevel: "basic",
  });
  const own = new Map(testCase.inputs.flatMap((input) => (input === null ? [] : [[input.name, input] as const])));
  return {
    run: async (inputs, fetches) => {
      const feeds = Object.fromEntries(
        session.inputNames.map((name) => {
          const data = inputs[name] ?? own.get(name)?.data ?? [];
          const array = real === "double" ? Float64Array.from(data) : Float32Array.from(data);
          return [
            name,
            new Tensor(real === "double" ? "float64" : "float32", array as Float32Array, [
              ...(own.get(name)?.dims ?? []),
            ]),
          ];
        }),
      );
      const results = await session.run(feeds, fetches === undefined ? session.outputNames : [...fetches]);
      return Object.fromEntries(
        Object.entries(results).map(([name, { data }]) => [name, Array.from(data as Float64Array)]),
      );
    },
    release: () => session.release(),
  };
}
