import type { Tensor } from "onnxruntime-common";
import { fromHalf } from "../../graph/half.ts";
import type { NamedTensors } from "../session.ts";
import { type Histogram, HistogramCounter } from "./histogram.ts";

/** Which alpha is told of: the options of AGR that it depends on. */
export interface AlphaOptions {
  /** Default 1. */
  readonly strength?: number;
  /** Over what |g| is summed. Default `tensor`. */
  readonly scope?: "tensor" | "channel" | "global";
}

/** A parameter's gradient, and what AGR makes of it: alpha = |g| / s, with s the sum of |g| over what the scope says. */
export interface GradientStatistics {
  readonly parameter: string;
  readonly shape: readonly number[];
  /** Euclidean norm. */
  readonly norm: number;
  /** Sum of |g|. */
  readonly sum: number;
  readonly largest: number;
  readonly nonZero: number;
  readonly finite: boolean;
  /** 1 means that AGR with strength 1 makes that element zero. */
  readonly largestAlpha: number;
  /** Norm of what AGR takes away, as a share of the gradient's norm. */
  readonly change: number;
}

export interface GradientHistograms {
  readonly gradient: Histogram;
  readonly alpha: Histogram;
}

interface Sums {
  readonly sum: number;
  readonly squares: number;
  readonly largest: number;
  readonly nonZero: number;
  /** Of |g|, per entry of the first axis. */
  readonly rows: Float64Array;
}

/** Statistics of gradients by parameter, summed in float64. */
export function gradientStatistics(
  gradients: NamedTensors,
  options: AlphaOptions = {},
): readonly (GradientStatistics & GradientHistograms)[] {
  const read = Object.entries(gradients).map(([parameter, tensor]) => {
    const values = floatsOf(tensor);
    return { parameter, shape: [...tensor.dims], values, sums: sumsOf(values, tensor.dims[0] ?? 1) };
  });
  const total = read.reduce((sum, { sums }) => sum + sums.sum, 0);
  return read.map(({ parameter, shape, values, sums }) => {
    const { sum, squares, largest, nonZero, rows } = sums;
    const row = values.length / rows.length;
    const { scope = "tensor", strength = 1 } = options;
    const all = scope === "global" ? total : sum;
    const [gradient, alphas] = [new HistogramCounter(), new HistogramCounter()];
    let [taken, largestAlpha] = [0, 0];
    for (let at = 0; at < values.length; at++) {
      const value = values[at] ?? 0;
      const size = Math.abs(value);
      const of = scope === "channel" ? (rows[Math.floor(at / row)] ?? 0) : all;
      const alpha = of > 0 ? size / of : 0;
      gradient.add(value);
      alphas.add(alpha);
      taken += (strength * alpha * size) ** 2;
      if (alpha > largestAlpha) largestAlpha = alpha;
    }
    const norm = Math.sqrt(squares);
    return {
      parameter,
      shape,
      norm,
      sum,
      largest,
      nonZero,
      finite: Number.isFinite(squares),
      largestAlpha,
      change: norm > 0 ? Math.sqrt(taken) / norm : 0,
      gradient: gradient.histogram,
      alpha: alphas.histogram,
    };
  });
}

type Floats = Float32Array | Float64Array;

function floatsOf(tensor: Tensor): Floats {
  if (tensor.data instanceof Float32Array || tensor.data instanceof Float64Array) return tensor.data;
  const isHalf = tensor.data instanceof Uint16Array;
  return Float32Array.from(tensor.data as Uint16Array, isHalf ? fromHalf : Number);
}

function sumsOf(values: Floats, count: number): Sums {
  const rows = new Float64Array(Math.max(1, count));
  const row = values.length / rows.length;
  let [sum, squares, largest, nonZero] = [0, 0, 0, 0];
  for (let at = 0; at < values.length; at++) {
    const size = Math.abs(values[at] ?? 0);
    sum += size;
    squares += size * size;
    if (size > largest) largest = size;
    if (size !== 0) nonZero++;
    const of = Math.floor(at / row);
    rows[of] = (rows[of] ?? 0) + size;
  }
  return { sum, squares, largest, nonZero, rows };
}
