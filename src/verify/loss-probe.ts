import { Tensor } from "onnxruntime-common";
import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { NumericError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { encodeModel } from "../graph/serde/encode.ts";
import type { StepModel } from "../passes/portable/step-model.ts";
import type { OrtModule, OrtSession } from "../runtime/ort-node/load.ts";
import { realsOf } from "../runtime/ort-tensor.ts";
import { plainly } from "./try-run.ts";

/** Runs the loss, without its gradients, with some elements of the parameters moved. */
export class LossProbe {
  readonly #session: OrtSession;
  readonly #read: ReadonlySet<string>;
  readonly #feeds: Record<string, Tensor>;
  readonly #lossName: string;
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, Float64Array>;

  private constructor(
    session: OrtSession,
    feeds: Record<string, Tensor>,
    lossName: string,
    loss: number,
    gradients: ReadonlyMap<string, Float64Array>,
  ) {
    this.#session = session;
    this.#read = new Set(session.inputNames);
    this.#feeds = feeds;
    this.#lossName = lossName;
    this.loss = loss;
    this.gradients = gradients;
  }

  static async open(
    ort: OrtModule,
    step: StepModel,
    feeds: Record<string, Tensor>,
    precision: string,
  ): Promise<LossProbe> {
    const session = await sessionOf(ort, step.model);
    const [lossName = ""] = step.outputs;
    const next = new Map(step.state.map(({ name, next: output }) => [name, output]));
    const outputs = step.gradients.map(([parameter, buffer]) => [parameter, next.get(buffer) ?? ""] as const);
    const fetches = Object.fromEntries([lossName, ...outputs.map(([, output]) => output)].map((name) => [name, null]));
    const results = await session.run(feeds, fetches).finally(() => session.release());
    const loss = Number(results[lossName]?.data[0]);
    const gradients = new Map(
      outputs.map(([parameter, output]) => [
        parameter,
        Float64Array.from(results[output] === undefined ? [] : realsOf(results[output])),
      ]),
    );
    if (!Number.isFinite(loss)) {
      throw new NumericError("E_NOT_FINITE", `the loss is ${loss} on these inputs, in ${precision}`, {
        field: lossName,
        hint: "Give inputs that are fit for the model, with --data.",
      });
    }
    const forward = lossAlone(step.model, lossName);
    return new LossProbe(await sessionOf(ort, forward), feeds, lossName, loss, gradients);
  }

  /** The central difference of the loss in one element. */
  async slope(parameter: string, element: number, delta: number): Promise<number> {
    return ((await this.#at(parameter, element, delta)) - (await this.#at(parameter, element, -delta))) / (2 * delta);
  }

  /** How far the loss is from itself after steps that should not matter. */
  async noise(parameter: string, element: number, delta: number): Promise<number> {
    const still = [await this.#at(parameter, element, delta), await this.#at(parameter, element, -delta)];
    return Math.max(...still.map((loss) => Math.abs(loss - this.loss)));
  }

  /** The loss with one element moved. */
  async #at(parameter: string, element: number, delta: number): Promise<number> {
    const tensor = this.#feeds[parameter];
    if (tensor === undefined) return Number.NaN;
    if (!this.#read.has(parameter)) return this.loss;
    const data = (tensor.data as Float64Array).slice();
    data[element] = (data[element] ?? 0) + delta;
    const moved = new Tensor(tensor.type as "float64", data, tensor.dims);
    const all = { ...this.#feeds, [parameter]: moved };
    const read = Object.entries(all).filter(([name]) => this.#read.has(name));
    const results = await this.#session.run(Object.fromEntries(read), { [this.#lossName]: null });
    return Number(results[this.#lossName]?.data[0]);
  }

  /** How long a loss takes. The first runs of a session are slower than those that follow. */
  async seconds(): Promise<number> {
    const [parameter = ""] = this.gradients.keys();
    let begun = 0;
    for (let run = 0; run < 2; run++) {
      begun = performance.now();
      await this.#at(parameter, 0, 0);
    }
    return (performance.now() - begun) / 1000;
  }

  /** What one element is. */
  value(parameter: string, element: number): number {
    return Number((this.#feeds[parameter]?.data as Float64Array | undefined)?.[element] ?? Number.NaN);
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/**
 * A session of a model. ONNX Runtime's fusion of Reshape loses track of a shape that it has replaced, in models that are right: what its
 * optimizations do not load is loaded without them.
 */
async function sessionOf(ort: OrtModule, model: Model): Promise<OrtSession> {
  const bytes = encodeModel(model);
  try {
    return await ort.InferenceSession.create(bytes, plainly());
  } catch (error) {
    return ort.InferenceSession.create(bytes, { ...plainly(), graphOptimizationLevel: "disabled" }).catch(() => {
      throw error;
    });
  }
}

/** What the loss is made of. */
export function lossAlone(step: Model, loss: string): Model {
  const model = step.clone();
  const { graph } = model;
  graph.replaceOutputs(graph.outputs.filter(({ name }) => name === loss));
  removeDeadNodes(graph);
  graph.replaceInputs(graph.inputs.filter(({ isUsed }) => isUsed));
  return model;
}
