import { NUMBER, requireArgument } from "../../arguments.ts";
import type { TrainEvent } from "../../runtime/train.ts";
import { encodePng, type Pixels } from "../png.ts";
import { type SummaryValue, summaryEvent, versionEvent } from "./event.ts";
import { tfRecord } from "./record.ts";

/**
 * Makes the records of a TensorBoard event file: what it gives, one after another, is the file. Its name must have
 * `tfevents` in it, as `eventFileName` gives it.
 */
export class TensorBoardEncoder {
  readonly #now: () => number;
  #step = 0;

  /** @param now milliseconds since 1970, which every event carries. Default: the clock */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** The record that a file begins with. */
  start(): Uint8Array {
    return tfRecord(versionEvent(this.#now() / 1000));
  }

  /**
   * Of a step its loss and learning rate; of an epoch its mean loss; of statistics the norms, the largest alphas and what AGR
   * changes, and histograms of gradients and alpha by parameter.
   */
  encode(event: TrainEvent): Uint8Array {
    if (event.type === "epoch") {
      return this.#summary(this.#step, [
        { tag: "epoch/loss", scalar: event.loss },
        { tag: "epoch/seconds", scalar: event.seconds },
      ]);
    }
    this.#step = event.step;
    if (event.type === "step") {
      return this.#summary(event.step, [
        { tag: "train/loss", scalar: event.loss },
        { tag: "train/learning_rate", scalar: event.learningRate },
      ]);
    }
    return this.#summary(event.step, [
      { tag: "gradients/norm", scalar: event.gradientNorm },
      ...event.parameters.flatMap(({ parameter, norm, largestAlpha, change, gradient, alpha }): SummaryValue[] => [
        { tag: `gradient_norm/${parameter}`, scalar: norm },
        { tag: `agr_largest_alpha/${parameter}`, scalar: largestAlpha },
        { tag: `agr_change/${parameter}`, scalar: change },
        { tag: `gradient/${parameter}`, histogram: gradient },
        { tag: `alpha/${parameter}`, histogram: alpha },
      ]),
    ]);
  }

  /** Numbers by tag, at the step of the last event that had one. */
  scalars(values: Readonly<Record<string, number>>): Uint8Array {
    return this.#summary(
      this.#step,
      Object.entries(values).map(([tag, scalar]) => ({ tag, scalar })),
    );
  }

  /** Pictures as `<tag>/0`, `<tag>/1` and so on. */
  images(tag: string, pictures: readonly Pixels[]): Uint8Array {
    return this.#summary(
      this.#step,
      pictures.map((pixels, index) => {
        const { width, height, channels } = pixels;
        return { tag: `${tag}/${index}`, image: { width, height, channels, png: encodePng(pixels) } };
      }),
    );
  }

  #summary(step: number, values: readonly SummaryValue[]): Uint8Array {
    return tfRecord(summaryEvent(this.#now() / 1000, step, values));
  }
}

/** A name that no other event file of the folder has: one of this process, at this time. */
export function eventFileName(milliseconds: number, process: number): string {
  requireArgument("milliseconds", milliseconds, NUMBER);
  requireArgument("process", process, NUMBER);
  return `events.out.tfevents.${String(Math.floor(milliseconds / 1000)).padStart(10, "0")}.onnx-agr.${process}.${milliseconds % 1000}`;
}
