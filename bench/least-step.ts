import { Tensor } from "onnxruntime-common";
import {
  attribute,
  DataType,
  decodeModel,
  encodeModel,
  GraphTensor,
  Node,
  Value,
  type ValueType,
} from "../src/entries/graph.ts";
import type { OrtModule } from "../src/entries/run.ts";
import { readPlan } from "../src/entries/training.ts";
import type { Model, NamedTensors, PortableArtifacts } from "../src/index.ts";

const PRODUCTS = new Set(["MatMul", "Gemm", "Conv", "ConvTranspose", "FusedMatMul"]);

const float = (shape: readonly number[]): ValueType => ({ kind: "tensor", dtype: DataType.float, shape });

/**
 * The least a training step could cost: the forward pass, and the matrix products and convolutions of the backward pass
 * alone, each on operands of the right shape that do not depend on each other.
 */
export async function leastModel(
  ort: OrtModule,
  { gradients, evalModel, state }: PortableArtifacts,
  feeds: NamedTensors,
): Promise<{ readonly run: () => Promise<number>; readonly release: () => Promise<void> }> {
  if (evalModel === null || state === null) throw new Error("the artifacts have no eval model or no checkpoint");
  const tensors = new Map([...state.tensors].map(([name, tensor]) => [name, toOrt(tensor)]));
  const forwardPlan = readPlan(evalModel, "eval");
  const held = (names: readonly string[]): NamedTensors =>
    Object.fromEntries(names.flatMap((name) => (tensors.has(name) ? [[name, tensors.get(name) as Tensor]] : [])));
  const forwardFeeds = {
    ...Object.fromEntries(Object.entries(feeds).filter(([name]) => forwardPlan.inputs.includes(name))),
    ...held(forwardPlan.state.map(({ name }) => name)),
  };
  const forwardCount = countOf(evalModel.graph.nodes);
  const products = gradients.graph.nodes.filter(isProduct).slice(forwardCount);
  const shapes = await shapesOf(ort, gradients, feeds, tensors, products);
  const model = withProducts(decodeModel(encodeModel(evalModel)), gradients, products, shapes);
  const session = await ort.InferenceSession.create(encodeModel(model), { logSeverityLevel: 3 });
  const operands = Object.fromEntries(
    products.flatMap((node, index) =>
      node.inputs.flatMap((value, at) => {
        const dims = value === null ? undefined : shapes.get(value.name);
        if (dims === undefined) return [];
        const size = dims.reduce((product, dim) => product * dim, 1);
        return [[`operand${index}_${at}`, new Tensor("float32", new Float32Array(size).fill(0.5), [...dims])]];
      }),
    ),
  );
  const [loss = ""] = forwardPlan.outputs;
  const fetches = Object.fromEntries(
    [loss, ...products.map((_, index) => `number${index}`)].map((name) => [name, null]),
  );
  return {
    run: async () => {
      const began = performance.now();
      await session.run({ ...forwardFeeds, ...operands }, fetches);
      return performance.now() - began;
    },
    release: () => session.release(),
  };
}

const isProduct = ({ opType }: Node): boolean => PRODUCTS.has(opType);
const countOf = (nodes: readonly Node[]): number => nodes.filter(isProduct).length;

function toOrt(tensor: GraphTensor): Tensor {
  const values = tensor.values();
  return tensor.dtype === DataType.int64
    ? new Tensor("int64", values as BigInt64Array, [...tensor.dims])
    : new Tensor("float32", values as Float32Array, [...tensor.dims]);
}

/** The shapes of the products' operands, by running the model with them as outputs. */
async function shapesOf(
  ort: OrtModule,
  gradients: Model,
  feeds: NamedTensors,
  tensors: ReadonlyMap<string, Tensor>,
  products: readonly Node[],
): Promise<ReadonlyMap<string, readonly number[]>> {
  const { graph } = gradients;
  const before = [...graph.outputs];
  const operands = new Set(products.flatMap(({ inputs }) => inputs.filter((value) => value !== null)));
  const made = [...operands].filter((value) => value.producer !== null);
  const untyped = made.filter(({ type }) => type === null);
  for (const value of untyped) value.type = { kind: "tensor", dtype: DataType.float, shape: null };
  graph.replaceOutputs(made);
  const session = await ort.InferenceSession.create(encodeModel(gradients), { logSeverityLevel: 3 });
  graph.replaceOutputs(before);
  for (const value of untyped) value.type = null;
  const plan = readPlan(gradients, "gradients");
  const accumulators = Object.fromEntries(
    plan.gradients.flatMap(([parameter, input]) => {
      const like = tensors.get(parameter);
      return like === undefined ? [] : [[input, like]];
    }),
  );
  const all: NamedTensors = {
    ...feeds,
    ...Object.fromEntries(tensors),
    ...accumulators,
    ...(plan.reset === null ? {} : { [plan.reset]: new Tensor("bool", Uint8Array.of(1), [1]) }),
  };
  const results = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, all[name] as Tensor])));
  await session.release();
  const initial = [...operands].flatMap(({ name, tensor }) => (tensor === null ? [] : [[name, tensor.dims] as const]));
  return new Map(
    [...Object.entries(all), ...Object.entries(results)]
      .map(([name, { dims }]) => [name, dims] as const)
      .concat(initial),
  );
}

/** Adds each product by itself; one number of each result is given, so that next to nothing is copied. */
function withProducts(
  model: Model,
  gradients: Model,
  products: readonly Node[],
  shapes: ReadonlyMap<string, readonly number[]>,
): Model {
  const { graph } = model;
  for (const [domain, version] of gradients.opsets) if (!model.opsets.has(domain)) model.opsets.set(domain, version);
  const first = new Value("least/first", { kind: "tensor", dtype: DataType.int64, shape: [1] });
  first.tensor = GraphTensor.ints([0]);
  const flat = new Value("least/flat", first.type);
  flat.tensor = GraphTensor.ints([-1]);
  graph.initializers.push(first, flat);
  for (const [index, node] of products.entries()) {
    const inputs = node.inputs.map((value, at) => {
      const dims = value === null ? undefined : shapes.get(value.name);
      if (dims === undefined) return null;
      const operand = new Value(`operand${index}_${at}`, float(dims));
      graph.inputs.push(operand);
      return operand;
    });
    const result = new Value(`result${index}`);
    const row = new Value(`row${index}`);
    const number = new Value(`number${index}`, float([1]));
    graph.append(
      new Node(node.opType, inputs, [result], { domain: node.domain, attributes: [...node.attributes.values()] }),
      new Node("Reshape", [result, flat], [row]),
      new Node("Gather", [row, first], [number], { attributes: [attribute.int("axis", 0)] }),
    );
    graph.addOutput(number);
  }
  return model;
}
