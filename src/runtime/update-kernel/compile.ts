import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { KERNEL_OPERATORS } from "./operators.ts";
import { type InPlace, inputsOf, outputOf, type Part, partsOf } from "./parts.ts";
import {
  ADD_I32,
  type Bytes,
  constantV128,
  encodeModule,
  LESS_I32,
  LOAD_SPLAT,
  LOAD_V128,
  localGet,
  localSet,
  localTee,
  loop,
  STORE_V128,
  smallI32,
  type WasmFunction,
} from "./wasm.ts";

/** A call of a kernel: on which tensors it works. */
export interface KernelCall {
  /** Which of the module's functions. */
  readonly kernel: number;
  /** How many numbers each tensor has. */
  readonly size: number;
  /** Inputs and outputs of that size, in the order of the function's parameters. */
  readonly tensors: readonly string[];
  /** Inputs of one number, which follow. */
  readonly numbers: readonly string[];
}

/** An update as WebAssembly: one function for all tensors that are updated alike. */
export interface CompiledUpdate {
  /** A module that imports `env.memory`. Its functions take the first byte and the end of what they work on, and addresses. */
  readonly module: Uint8Array<ArrayBuffer>;
  readonly calls: readonly KernelCall[];
}

/** Pages of 64 kB that there are addresses for. */
export const MOST_PAGES = 65_536;
/** Bytes of a vector. */
const VECTOR = 16;

/**
 * Compiles an update of elementwise operators: one loop over each tensor, in which every number is read once and written once, four at
 * a time.
 * @param update its outputs are as large as the tensors they are made of
 * @param inPlace what is written where an input lies
 */
export function compileUpdate({ graph }: Model, inPlace: InPlace): CompiledUpdate {
  const functions: WasmFunction[] = [];
  const known = new Map<string, number>();
  const calls = partsOf(graph, inPlace).map((part): KernelCall => {
    const given = part.numbers.filter(({ tensor }) => tensor === null);
    const made = functionOf(part, given);
    const text = JSON.stringify(made);
    const kernel = known.get(text) ?? functions.push(made) - 1;
    known.set(text, kernel);
    const names = (values: readonly Value[]): readonly string[] => values.map(({ name }) => name);
    return { kernel, size: part.size, tensors: names([...part.tensors, ...part.outputs]), numbers: names(given) };
  });
  return { module: encodeModule(functions, MOST_PAGES), calls };
}

/** Parameters: the first byte, the end, the addresses of the inputs, of the outputs, and of the numbers. */
const START = 0;
const END = 1;
const ADDRESSES = 2;

function functionOf({ nodes, tensors, numbers, outputs }: Part, given: readonly Value[]): WasmFunction {
  const parameters = ADDRESSES + tensors.length + outputs.length + given.length;
  const locals = new Map<Value, number>();
  const set = (value: Value): Bytes => {
    locals.set(value, parameters + locals.size);
    return localSet(parameters + locals.size - 1);
  };
  const get = (value: Value): Bytes => {
    const local = locals.get(value);
    if (local === undefined) throw new RangeError(`"${value.name}" is read before it is made`);
    return localGet(local);
  };
  const before = numbers.flatMap((value): Bytes => {
    const { tensor } = value;
    const address = ADDRESSES + tensors.length + outputs.length + given.indexOf(value);
    const read = tensor === null ? [...localGet(address), ...LOAD_SPLAT] : constantV128(tensor.floatValues()[0] ?? 0);
    return [...read, ...set(value)];
  });
  const at = (parameter: number): Bytes => [...localGet(ADDRESSES + parameter), ...localGet(START), ...ADD_I32];
  const body = [
    ...tensors.flatMap((value, index): Bytes => [...at(index), ...LOAD_V128, ...set(value)]),
    ...nodes.flatMap((node): Bytes => {
      const operator = KERNEL_OPERATORS[node.opType];
      if (operator === undefined) throw new RangeError(`"${node.name}" is no operator of a kernel: ${node.opType}`);
      const inputs = inputsOf(node).flatMap(get);
      return [...inputs, ...operator, ...set(outputOf(node))];
    }),
    ...outputs.flatMap((value, index): Bytes => [...at(tensors.length + index), ...get(value), ...STORE_V128]),
    ...[...localGet(START), ...smallI32(VECTOR), ...ADD_I32, ...localTee(START), ...localGet(END), ...LESS_I32],
  ];
  return { parameters, vectors: locals.size, body: [...before, ...loop(body)] };
}
