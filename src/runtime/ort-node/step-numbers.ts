import { Tensor } from "onnxruntime-common";
import type { Plan } from "../../artifacts/portable/plan.ts";
import { setField } from "../fields.ts";
import type { NamedTensors } from "../session.ts";

/** The numbers that steps take beside their batches, in tensors that are used again. */
export class StepNumbers {
  #rates: Tensor | null = null;
  #first: Tensor | null = null;

  /**
   * As they are until the next time.
   * @param rates the learning rates, one row per step where there are several
   * @param first the number of the first update
   */
  of({ learningRate, step }: Plan, rates: readonly number[], first: number): NamedTensors {
    const numbers: Record<string, Tensor> = {};
    if (learningRate !== null) setField(numbers, learningRate, this.#ratesOf(rates));
    if (step !== null) setField(numbers, step, this.#stepOf(first));
    return numbers;
  }

  #ratesOf(rates: readonly number[]): Tensor {
    if (this.#rates?.size !== rates.length) {
      const shape = rates.length === 1 ? [1] : [rates.length, 1];
      this.#rates = new Tensor("float32", new Float32Array(rates.length), shape);
    }
    (this.#rates.data as Float32Array).set(rates);
    return this.#rates;
  }

  #stepOf(first: number): Tensor {
    this.#first ??= new Tensor("int64", new BigInt64Array(1), [1]);
    this.#first.data[0] = BigInt(first);
    return this.#first;
  }
}
