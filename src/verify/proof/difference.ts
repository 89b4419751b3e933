import { Tensor } from "onnxruntime-common";
import { GradientError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { Value } from "../../graph/graph.ts";
import { Names } from "../../graph/names.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import type { OrtModule, OrtSession } from "../../runtime/ort-node/load.ts";
import type { NamedTensors } from "../../runtime/session.ts";
import { piecesOf, sumInPieces } from "./directions.ts";
import { numbersOf, only, open, type Precision, prepareLoss, type Question, STEPS } from "./question.ts";

/** How far parameters are moved. */
const STEP = "proof/step";
/** Rounding of a loss, relative to it. */
const LOSS_ROUNDING = { float64: 1e-12, float32: 1e-5 } as const;
/** Of a slope by differences, relative to it. */
const SLOPE_TOLERANCE = { float64: 1e-3, float32: 0.1 } as const;

/** The direction in which the derivative is checked: the magnitudes of a parameter's own random elements. */
const directionOf = (f: Formula, parameter: Value): Value => f.emit("Abs", [parameter]);

/** The product of the derivative with that direction, over all parameters. */
export function slopeAlong(f: Formula, gradients: ReadonlyMap<Value, Value>): Value {
  const products = [...gradients].map(([parameter, gradient]) => {
    const [along, derivative] = [directionOf(f, parameter), gradient].map((value) =>
      f.cast(f.reshape(value, piecesOf(parameter)), DataType.float),
    );
    return along === undefined || derivative === undefined ? f.number(0) : sumInPieces(f, f.mul(derivative, along));
  });
  const slope = f.emit("Sum", products);
  slope.type = tensorType(DataType.float, []);
  return slope;
}

/** The same product by central differences of the loss, to check the derivative by what is no derivative. */
export class Difference {
  readonly #session: OrtSession;
  readonly #loss: string;
  readonly #precision: Precision;
  #agreed = 0;
  #disagreed = 0;
  #worst = "";

  private constructor(session: OrtSession, loss: string, precision: Precision) {
    this.#session = session;
    this.#loss = loss;
    this.#precision = precision;
  }

  static async open(ort: OrtModule, question: Question, precision: Precision): Promise<Difference> {
    const { model, values, loss } = prepareLoss(question);
    const step = new Value(STEP, tensorType(DataType.float, []));
    const build = new Builder({ prefix: "proof/moved", names: new Names(model) });
    const f = new Formula(build, model.opset);
    for (const name of question.candidates.keys()) {
      const parameter = values.get(name);
      if (parameter === undefined) continue;
      const readers = [...parameter.uses];
      const dtype = parameter.type?.kind === "tensor" ? parameter.type.dtype : DataType.float;
      const moved = f.add(parameter, f.mul(f.cast(step, dtype), directionOf(f, parameter)));
      for (const { user, index } of readers) if ("opType" in user) user.setInput(index, moved);
    }
    const [first] = model.graph.nodes;
    if (first === undefined) model.graph.append(build.nodes);
    else model.graph.insertBefore(first, ...build.nodes);
    model.graph.inputs.push(step);
    model.graph.replaceOutputs([loss]);
    return new Difference(await open(ort, model, precision), loss.name, precision);
  }

  /** Whether there was a draw to compare in: a loss that draws random numbers of its own has none. */
  get isCompared(): boolean {
    return this.#agreed + this.#disagreed > 0;
  }

  async compare(feeds: NamedTensors, loss: number, slope = Number.NaN): Promise<void> {
    const rounding = LOSS_ROUNDING[this.#precision] * Math.max(1, Math.abs(loss));
    if (!(Math.abs((await this.#at(feeds, 0)) - loss) <= rounding)) return;
    const step = STEPS[this.#precision];
    const difference = ((await this.#at(feeds, step)) - (await this.#at(feeds, -step))) / (2 * step);
    if (!Number.isFinite(difference)) return;
    const tolerance =
      SLOPE_TOLERANCE[this.#precision] * Math.max(Math.abs(slope), Math.abs(difference)) + rounding / step;
    if (Math.abs(slope - difference) <= tolerance) this.#agreed++;
    else {
      this.#disagreed++;
      this.#worst = `${slope.toPrecision(6)} along a direction in which the loss has the slope ${difference.toPrecision(6)}`;
    }
  }

  /** One draw may lie at a kink. */
  require(loss: string): void {
    if (this.#disagreed <= this.#agreed) return;
    throw new GradientError("E_NO_GRADIENT", `the derivative of "${loss}" by reverse mode is ${this.#worst}`);
  }

  async #at(feeds: NamedTensors, step: number): Promise<number> {
    const by =
      this.#precision === "float64"
        ? new Tensor("float64", Float64Array.of(step), [])
        : new Tensor("float32", Float32Array.of(step), []);
    const fed = only({ ...feeds, [STEP]: by }, this.#session.inputNames);
    return numbersOf((await this.#session.run(fed))[this.#loss])[0] ?? Number.NaN;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
