import { biasGrad, imageGrad, weightGrad, windowAttributes } from "../../autodiff/formulas/convolution.ts";
import { outputSizes, windowOf } from "../../autodiff/formulas/window.ts";
import type { Value } from "../../graph/graph.ts";
import { axesFrom, dimsOf, known } from "../../ops/value-types.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.5";

function weightDims(call: Call): readonly number[] {
  const dims = known(dimsOf(call.input(2)));
  if (dims === null) throw call.refuse(`the shape of its weight "${call.input(2).name}" is not known`);
  return dims;
}

export const CONVOLUTION: readonly Lowering[] = [
  {
    op: "ConvGrad",
    source: SOURCE,
    lower: (f, call) => {
      const [dY, x, weight] = [call.input(0), call.input(1), call.input(2)];
      const dims = weightDims(call);
      const group = call.int("group", 1);
      const image = dimsOf(x)?.slice(2) ?? null;
      const window = windowOf(call, dims.slice(2), image);
      const spatial = known(image);
      const sizes = spatial === null ? null : outputSizes(window, spatial);
      const [outputs = 0, perGroup = 0] = dims;
      const correlation = { window, group, image: x, gradient: dY, channels: perGroup * group, outputs, sizes };
      return [
        call.wants(0) ? imageGrad(f, { dY, x, weight, dims, window, group, spatial }) : null,
        call.wants(1) ? weightGrad(f, correlation) : null,
        call.wants(2) ? biasGrad(f, dY, dims.length) : null,
      ];
    },
  },
  {
    op: "ConvTransposeGrad",
    source: SOURCE,
    lower: (f, call) => {
      const [dY, x, weight] = [call.input(0), call.input(1), call.input(2)];
      const dims = weightDims(call);
      const group = call.int("group", 1);
      if (!["NOTSET", "VALID"].includes(call.string("auto_pad", "NOTSET"))) {
        throw call.refuse("auto_pad of a transposed convolution depends on its output's size");
      }
      const window = windowOf(call, dims.slice(2), null);
      const [channels = 0, perGroup = 0] = dims;
      const spatial = axesFrom(2, dims.length);
      const zero = spatial.map(() => 0);
      const correlation = {
        window,
        group,
        image: dY,
        gradient: x,
        channels: perGroup * group,
        outputs: channels,
        sizes: known(dimsOf(x)?.slice(2) ?? null),
        hasMore: true,
      };
      const full = (): Value => f.emit("Conv", [dY, weight], { attributes: windowAttributes(window, group) });
      return [
        call.wants(0) ? f.slice(full(), zero, f.shape(x, 2), spatial) : null,
        call.wants(1) ? weightGrad(f, correlation) : null,
        call.wants(2) ? biasGrad(f, dY, dims.length) : null,
      ];
    },
  },
];
