import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { rankOf } from "../../ops/value-types.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import type { Compound } from "./compound.ts";

/** Frames of the signal, a step apart, each times the window, each transformed. */
function stft(f: Formula, call: Call): readonly Value[] {
  const int = f.typed(DataType.int64);
  const [samples, window] = [call.input(0), call.optional(2)];
  const rank = rankOf(samples);
  if (rank !== 2 && rank !== 3) throw call.refuse("its signal does not have the axes [batch, length, parts]");
  /** ONNX Runtime takes real signals without their last axis, too. */
  const signal = rank === 2 ? f.unsqueeze(samples, [2]) : samples;
  const given = call.optional(3);
  const whole = (value: Value): Value => f.cast(f.reshape(value, []), DataType.int64);
  const lengthOf = (frame: Value | null): Value => {
    if (frame === null) throw call.refuse("it has neither a window nor a frame_length");
    return f.reshape(f.dim(frame, 0), []);
  };
  const length = given === null ? lengthOf(window) : whole(given);
  const step = whole(call.input(1));
  const count = int.add(int.div(int.sub(f.reshape(f.dim(signal, 1), []), length), step), 1);
  const starts = int.unsqueeze(int.mul(int.range(count), step), [1]);
  const frames = f.gather(signal, int.add(starts, int.range(length)), 1);
  const weighed = window === null ? frames : f.mul(frames, f.unsqueeze(window, [1]));
  const onesided = attribute.int("onesided", call.int("onesided"));
  if (f.opset < 20) return [f.emit("DFT", [weighed], { attributes: [attribute.int("axis", 2), onesided] })];
  return [f.emit("DFT", [weighed, null, f.reshape(f.ints([2]), [])], { attributes: [onesided] })];
}

export const SIGNALS: readonly Compound[] = [{ domain: "", op: "STFT", source: "ONNX's operators, STFT", parts: stft }];
