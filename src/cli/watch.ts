import type { Dataset, StatisticsOptions } from "../index.ts";
import type { RunIdentity } from "./checkpoints.ts";
import { GrowingFile } from "./growing-file.ts";
import type { Ranks } from "./ranks.ts";
import { TensorBoard } from "./tensorboard.ts";
import type { TrainCommandOptions } from "./train-options.ts";
import { type Told, TrainingRecord } from "./training-record.ts";

/** Where what a training tells goes: --json, --log, --tensorboard, and the record that its end is told from. */
export class Watch {
  readonly record = new TrainingRecord();
  readonly #tell: (event: object) => void;
  readonly #log: GrowingFile | null;
  readonly #board: TensorBoard | null;

  private constructor(tell: (event: object) => void, log: GrowingFile | null, board: TensorBoard | null) {
    this.#tell = tell;
    this.#log = log;
    this.#board = board;
  }

  static async open(
    { log, tensorboard }: TrainCommandOptions,
    { communicator, console }: Ranks,
    { dataset, isResumed }: { readonly dataset: Dataset; readonly isResumed: boolean },
  ): Promise<Watch> {
    const isFirst = communicator.rank === 0;
    const board = tensorboard === undefined || !isFirst ? null : await TensorBoard.open(tensorboard, dataset);
    const file = log === undefined || !isFirst ? null : new GrowingFile(log, { append: isResumed });
    const tell = (event: object): void => {
      if (console.options.json) console.line(event);
    };
    return new Watch(tell, file, board);
  }

  async take(event: Told): Promise<void> {
    const line = lineOf(event);
    this.#tell(line);
    await this.#log?.write(`${JSON.stringify(line)}\n`);
    await this.#board?.take(event);
    this.record.take(event);
  }

  async close(): Promise<void> {
    await this.#log?.close();
    await this.#board?.close();
  }
}

/** Without what is no matter of a line: histograms, and metrics in words. */
function lineOf(event: Told): object {
  if (event.type === "validation") {
    const { metrics: _, values, ...told } = event;
    return { ...told, ...values };
  }
  if (event.type !== "statistics") return event;
  return { ...event, parameters: event.parameters.map(({ gradient: _, alpha: __, ...told }) => told) };
}

/** What statistics tell of: AGR as it is in the models, or, where it is not, as it would be by default. */
export function statisticsOf(
  { statistics }: TrainCommandOptions,
  { options }: RunIdentity,
): { readonly statistics?: StatisticsOptions } {
  if (statistics === undefined) return {};
  const agr = agrOf(options["agr"]);
  return { statistics: { every: statistics, ...agr } };
}

/** Strength and scope of the AGR that models have; null where they have none. */
export function agrOf(recorded: unknown): Pick<StatisticsOptions, "strength" | "scope"> | null {
  if (typeof recorded !== "string") return null;
  const { strength, scope } = JSON.parse(recorded) as Record<string, unknown>;
  const scopes = ["tensor", "channel", "global"] as const;
  const found = scopes.find((each) => each === scope);
  return {
    ...(typeof strength === "number" ? { strength } : {}),
    ...(found === undefined ? {} : { scope: found }),
  };
}
