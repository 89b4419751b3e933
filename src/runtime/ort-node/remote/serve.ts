import { BackendError } from "../../../errors.ts";
import { DEFAULT_LEARNING_RATE } from "../../learning-rate.ts";
import type { TrainingSession } from "../../session.ts";
import { OrtNodeSession } from "../session.ts";
import type { Way } from "../ways.ts";
import { decoded } from "./encoded.ts";
import { pack, unpack } from "./packing.ts";
import type { Opened, Opening, Reply, Request, SentModels } from "./protocol.ts";

/** Answers the calls of a `RemoteSession`, with a session of its own. */
export class Server {
  readonly #ways: readonly Way[];
  readonly #prepare: (environment: unknown) => void;
  #session: OrtNodeSession | null = null;

  /** @param prepare takes settings of ONNX Runtime's module, before it is loaded */
  constructor(ways: readonly Way[], prepare: (environment: unknown) => void = () => undefined) {
    this.#ways = ways;
    this.#prepare = prepare;
  }

  async answer({ id, method, args }: Request): Promise<Reply> {
    try {
      const given = unpack(args) as readonly unknown[];
      const result = await (method === "open" ? this.#open(given[0] as Opening) : this.#call(method, given));
      return { id, result: pack(result), steps: this.#steps };
    } catch (error) {
      return { id, error: pack(error), steps: this.#steps };
    }
  }

  get #steps(): number {
    return this.#session?.steps ?? 0;
  }

  async #call(method: Exclude<Request["method"], "open">, given: readonly unknown[]): Promise<unknown> {
    const session = this.#session;
    if (session === null) throw new RangeError(`${method} was called before the session was opened`);
    const run = session[method] as (this: TrainingSession, ...all: readonly unknown[]) => Promise<unknown>;
    return run.call(session, ...given);
  }

  async #open({ models, state, stepsPerCall, options, environment }: Opening): Promise<Opened> {
    this.#prepare(environment);
    const opened = await OrtNodeSession.create(
      this.#ways,
      {
        ...decoded<SentModels>(models),
        evalModel: null,
        state,
        stepsPerCall,
        learningRate: () => DEFAULT_LEARNING_RATE,
        sharer: null,
        exporter: () => {
          throw new BackendError("E_UNSUPPORTED", "models are exported on the other side");
        },
      },
      options,
    );
    this.#session = opened;
    const { trainingInputNames, trainingOutputNames, trainingInputs, carried } = opened;
    const { executionProvider, passedOver, way, batchParts, steps } = opened;
    return {
      ...{ trainingInputNames, trainingOutputNames, trainingInputs, carried },
      ...{ executionProvider, passedOver, way, batchParts, steps },
      evaluation: opened.evaluationSpecs,
      stepsPerCall: opened.stepsPerCall,
    };
  }
}
