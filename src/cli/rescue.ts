import type { TrainingPlan } from "../entries/run.ts";
import { BackendError, NumericError, type TrainingSession, type TrainPosition } from "../index.ts";
import { quoted } from "./destination.ts";
import type { TrainCommandOptions } from "./train-options.ts";

/** Keeps what was trained before a step that failed. */
export class Rescue {
  readonly save: (position: TrainPosition) => Promise<void>;
  #steps: number | null = null;

  /** @param warn told where it cannot be kept: the error of the step is what matters */
  constructor(
    session: TrainingSession,
    save: (position: TrainPosition) => Promise<void>,
    warn: (text: string) => void,
  ) {
    this.save = async (position) => {
      try {
        await save(position);
        this.#steps = session.steps;
      } catch (error) {
        warn(`what was trained could not be saved: ${error instanceof Error ? error.message : error}`);
      }
    };
  }

  /** How many steps the state that was kept has seen; null where none was. */
  get steps(): number | null {
    return this.#steps;
  }
}

interface Failed {
  readonly rescued: number | null;
  readonly checkpoints: string | null;
  readonly options: TrainCommandOptions;
  readonly plan: TrainingPlan;
}

/** The error of a step that failed, with what to change, and what was kept. */
export function withRemedy(error: unknown, failed: Failed): unknown {
  const { rescued, checkpoints, options, plan } = failed;
  const kept =
    rescued === null || checkpoints === null
      ? ""
      : `What ${rescued} ${rescued === 1 ? "step" : "steps"} had trained is saved in ${checkpoints}. `;
  if (error instanceof NumericError && error.code === "E_NOT_FINITE") {
    const lower = Number(((options.lr ?? 0.001) / 10).toPrecision(3));
    const on =
      kept === ""
        ? "Lower the learning rate: "
        : `Lower the learning rate, and begin anew, or, where the loss had not grown by then, go on from there: --resume ${quoted(checkpoints ?? "")} --allow-mismatch lr `;
    return new NumericError(error.code, error.message, {
      ...placeOf(error),
      hint: `${kept}${on}--lr ${lower}. Or look for NaN and extreme values in the data.`,
    });
  }
  if (error instanceof BackendError && error.code === "E_MEMORY" && plan.batchSize > 1) {
    const on = kept === "" ? "" : `--init-from ${quoted(checkpoints ?? "")} `;
    return new BackendError(error.code, error.message, {
      ...placeOf(error),
      hint: `${kept}Use smaller batches: ${on}--batch-size ${Math.floor(plan.batchSize / 2)}, in the place of ${plan.batchSize}.`,
    });
  }
  if (error instanceof BackendError && kept !== "") {
    return new BackendError(error.code, error.message, {
      ...placeOf(error),
      hint: [kept.trim(), error.hint].filter((part) => part !== undefined).join(" "),
    });
  }
  return error;
}

/** Where the error is, and what it came from. */
function placeOf(error: NumericError | BackendError): { readonly cause: unknown; file?: string; field?: string } {
  const { file, field, cause } = error;
  return { cause, ...(file === undefined ? {} : { file }), ...(field === undefined ? {} : { field }) };
}
