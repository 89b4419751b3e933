import type { Tensor } from "onnxruntime-common";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Node, Value } from "../../graph/graph.ts";
import { Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { tensorType } from "../../graph/value-type.ts";
import { copyOfTensor, ortTensor } from "../ort-tensor.ts";
import type { NamedTensors } from "../session.ts";
import type { OrtSession } from "./load.ts";

/** Which state an output renews. */
export type Renewals = readonly (readonly [name: string, output: string])[];

/** The tensors a training run carries from step to step. A run reads them and writes the next ones beside them. */
export interface StateStore {
  /** Whether `set` copies the elements; where it does not, they must be nobody else's. */
  readonly copies: boolean;
  get(name: string): Tensor;
  set(name: string, tensor: Tensor): void;
  /** Is called before a run, which waits for it; null: it has nothing to wait for. */
  prepare(): Promise<void> | null;
  /** Where a run is to put what it renews. */
  targets(renewals: Renewals): Readonly<Record<string, Tensor | null>>;
  /** Makes what a run has written the state. */
  commit(renewals: Renewals, results: NamedTensors): void;
  /** Throws away what a run has written. */
  discard(renewals: Renewals, results: NamedTensors): void;
  /** The tensors in memory, not copied where they lie there: they are as they are until the next run. */
  lend(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>>;
  /**
   * Puts a tensor where these elements lie, where the store can. Until `unplace` it may be written only by runs that do not read it.
   * @param data as many elements as it has, of its type
   */
  place?(name: string, data: Tensor["data"]): void;
  /**
   * Puts a tensor where these elements lie, where the store can: it is read in one half and renewed in the other, which then change
   * places. `commit` makes what anybody has written into the other half the state.
   * @param now elements of its type, as many as it has; both halves get those it has
   * @param next as many
   */
  placeInTurns?(name: string, now: Tensor["data"], next: Tensor["data"]): void;
  /**
   * Puts a tensor of float32 where these elements lie, where the store can, and keeps it there until a run renews it elsewhere: it may be
   * written between runs.
   * @returns whether it lies there
   */
  hold?(name: string, data: Float32Array): boolean;
  /** Ends `place`. */
  unplace?(): void;
  /** Copies of the tensors in memory. */
  read(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>>;
  /** The tensors in memory for good, copied only where they must be: no run writes into them any more. */
  handOut(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>>;
  release(): Promise<void>;
}

function missing(name: string): Error {
  return new Error(`there is no state "${name}"`);
}

/**
 * State in memory: two tensors each, one read and one written, which change places. So steps allocate nothing, but in the
 * place of tensors that were handed out. Where the runtime does not fill the tensors it is given, it makes new ones with
 * every step.
 */
export class HostState implements StateStore {
  readonly copies = false;
  readonly #now = new Map<string, Tensor>();
  readonly #next = new Map<string, Tensor>();
  /** Names of tensors that someone else has too. */
  readonly #handedOut = new Set<string>();
  readonly #TensorType: typeof Tensor;
  readonly #fillsOutputs: boolean;

  /** @param TensorType the runtime's own class: it writes only into tensors it knows as its own */
  constructor(TensorType: typeof Tensor, fillsOutputs: boolean) {
    this.#TensorType = TensorType;
    this.#fillsOutputs = fillsOutputs;
  }

  get(name: string): Tensor {
    const tensor = this.#now.get(name);
    if (tensor === undefined) throw missing(name);
    return tensor;
  }

  set(name: string, { type, data, dims }: Tensor): void {
    this.#now.set(name, ortTensor(type, data, dims, this.#TensorType));
    this.#next.delete(name);
    this.#handedOut.delete(name);
  }

  prepare(): null {
    return null;
  }

  targets(renewals: Renewals): Readonly<Record<string, Tensor | null>> {
    if (!this.#fillsOutputs) return Object.fromEntries(renewals.map(([, output]) => [output, null]));
    return Object.fromEntries(
      renewals.map(([name, output]) => {
        const target = this.#next.get(name) ?? this.#emptyLike(this.get(name));
        this.#next.set(name, target);
        return [output, target];
      }),
    );
  }

  #emptyLike({ type, dims, size, data }: Tensor): Tensor {
    const ArrayType = data.constructor as new (length: number) => Float32Array;
    return ortTensor(type, new ArrayType(size), dims, this.#TensorType);
  }

  commit(renewals: Renewals, results: NamedTensors): void {
    for (const [name, output] of renewals) {
      const [now, next] = [this.get(name), this.#fillsOutputs ? this.#next.get(name) : results[output]];
      if (next === undefined) throw missing(name);
      this.#now.set(name, next);
      if (this.#handedOut.delete(name)) this.#next.delete(name);
      else if (this.#fillsOutputs) this.#next.set(name, now);
    }
  }

  discard(): void {
    return;
  }

  async lend(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    return new Map(names.map((name) => [name, this.get(name)]));
  }

  async read(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    return new Map(
      names.map((name) => {
        return [name, copyOfTensor(this.get(name))];
      }),
    );
  }

  async handOut(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    for (const name of names) {
      this.#handedOut.add(name);
      /** While the state is saved, the other half of the memory is free for that. */
      this.#next.delete(name);
    }
    return new Map(names.map((name) => [name, this.get(name)]));
  }

  async release(): Promise<void> {
    this.#now.clear();
    this.#next.clear();
  }
}

/** State on a device: each run makes new tensors there, and the old ones are freed when they are replaced. */
export class DeviceState implements StateStore {
  readonly copies = false;
  readonly #now = new Map<string, Tensor>();
  /** Sessions that made tensors of the state: these go with them. */
  readonly #owners: OrtSession[] = [];
  readonly #create: (model: Uint8Array, outputs: "cpu" | "gpu-buffer") => Promise<OrtSession>;

  /** @param create makes a session whose outputs come to memory, or stay on the device */
  constructor(create: (model: Uint8Array, outputs: "cpu" | "gpu-buffer") => Promise<OrtSession>) {
    this.#create = create;
  }

  /** Brings what is in memory to the device, once, so that tensors no step renews do not travel with every step. */
  prepare(): Promise<void> | null {
    const here = [...this.#now].filter(([, { location, type }]) => location === "cpu" && type === "float32");
    return here.length === 0 ? null : this.#bring(here);
  }

  async #bring(here: readonly (readonly [string, Tensor])[]): Promise<void> {
    const { tensors, session } = await this.#copy(here, "gpu-buffer");
    this.#owners.push(session);
    for (const [name, tensor] of tensors) this.set(name, tensor);
  }

  get(name: string): Tensor {
    const tensor = this.#now.get(name);
    if (tensor === undefined) throw missing(name);
    return tensor;
  }

  set(name: string, tensor: Tensor): void {
    free(this.#now.get(name));
    this.#now.set(name, tensor);
  }

  targets(renewals: Renewals): Readonly<Record<string, null>> {
    return Object.fromEntries(renewals.map(([, output]) => [output, null]));
  }

  commit(renewals: Renewals, results: NamedTensors): void {
    for (const [name, output] of renewals) {
      const next = results[output];
      if (next === undefined) throw missing(output);
      this.set(name, next);
    }
  }

  discard(renewals: Renewals, results: NamedTensors): void {
    for (const [, output] of renewals) free(results[output]);
  }

  async lend(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    return this.read(names);
  }

  /**
   * Runs the tensors through a model that does nothing, whose outputs are asked for in memory: `getData` on a tensor of the
   * device ends the process in onnxruntime-node 1.30.
   */
  async read(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    if (names.length === 0) return new Map();
    const held = names.map((name) => [name, this.get(name)] as const);
    const { tensors, session } = await this.#copy(held, "cpu");
    await session.release();
    return tensors;
  }

  handOut(names: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
    return this.read(names);
  }

  async #copy(
    tensors: readonly (readonly [string, Tensor])[],
    to: "cpu" | "gpu-buffer",
  ): Promise<{ readonly tensors: ReadonlyMap<string, Tensor>; readonly session: OrtSession }> {
    const session = await this.#create(copier(tensors.map(([, tensor]) => tensor)), to);
    const feeds = Object.fromEntries(tensors.map(([, tensor], index) => [`in${index}`, tensor]));
    const results = await session.run(feeds);
    return { tensors: new Map(tensors.map(([name], index) => [name, results[`out${index}`] as Tensor])), session };
  }

  async release(): Promise<void> {
    for (const tensor of this.#now.values()) free(tensor);
    this.#now.clear();
    for (const session of this.#owners) await session.release();
  }
}

function free(tensor: Tensor | undefined): void {
  if (tensor !== undefined && tensor.location === "gpu-buffer") tensor.dispose();
}

const TYPES = new Map<string, number>([
  ["float32", DataType.float],
  ["float16", DataType.float16],
  ["float64", DataType.double],
  ["int64", DataType.int64],
  ["int32", DataType.int32],
  ["bool", DataType.bool],
]);

/** A model that gives each of its inputs as an output: `in0` as `out0`. */
export function copier(tensors: readonly Tensor[]): Uint8Array {
  const graph = new Graph("copy");
  const model = new Model(8, graph);
  model.opsets.set(ONNX_DOMAIN, 17);
  for (const [index, { type, dims }] of tensors.entries()) {
    const value = tensorType(TYPES.get(type) ?? DataType.float, [...dims]);
    const [input, output] = [new Value(`in${index}`, value), new Value(`out${index}`, value)];
    graph.inputs.push(input);
    graph.append(new Node("Identity", [input], [output], { name: `copy${index}` }));
    graph.addOutput(output);
  }
  return encodeModel(model);
}
