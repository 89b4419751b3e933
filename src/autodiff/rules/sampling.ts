import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** Where the points of a grid lie along one axis of the image. */
interface Axis {
  /** Number of pixels, a real scalar. */
  readonly size: Value;
  /** Positions in pixels, [N, points]. */
  readonly at: Value;
  /** Pixels per unit of the grid; zero where the border holds the position. */
  readonly slope: Value;
}

/** The grid's -1 and 1 are the middles of the outer pixels (align_corners), or their outer edges. */
function axisOf(b: Backward, grid: Value, imageAxis: number): Axis {
  const { f } = b;
  const size = f.cast(f.reshape(f.dim(b.input(0), imageAxis), []), f.dtype);
  const span = b.int("align_corners") === 1 ? f.sub(size, 1) : size;
  const free = f.sub(f.mul(f.mul(f.add(grid, 1), 0.5), span), b.int("align_corners") === 1 ? 0 : 0.5);
  const perUnit = f.mul(span, 0.5);
  if (b.string("padding_mode") === "zeros") return { size, at: free, slope: perUnit };
  const last = f.sub(size, 1);
  const isInside = f.and(f.greater(free, 0), f.greater(last, free));
  return { size, at: f.min(f.max(free, 0), last), slope: f.where(isInside, perUnit, 0) };
}

/** One of the pixels around a position: which, how much it counts, and how that changes with the position. */
interface Neighbour {
  readonly place: Value;
  readonly isInside: Value;
  readonly weight: Value;
  readonly change: Value;
}

function neighbours(f: Formula, { size, at }: Axis, isNearest: boolean): readonly Neighbour[] {
  const near = (place: Value, weight: Value, change: Value): Neighbour => ({
    place: f.min(f.max(place, 0), f.sub(size, 1)),
    isInside: f.and(f.greater(place, -1), f.greater(size, place)),
    weight,
    change,
  });
  if (isNearest) return [near(f.round(at), f.number(1), f.number(0))];
  const low = f.emit("Floor", [at]);
  const part = f.sub(at, low);
  return [near(low, f.sub(1, part), f.number(-1)), near(f.add(low, 1), part, f.number(1))];
}

/**
 * y = sum over the pixels p around a point of weight_x weight_y image[p], for images [N, C, H, W].
 * The image's gradient is dY scattered with the weights; a position's is dY image[p] times the change of the weight.
 */
function gridSample(b: Backward): InputGradients {
  const { f, sizes } = b;
  if (b.rank(0) !== 4) throw b.refuse("its image does not have the axes [N, C, H, W]");
  const [image, grid] = [b.input(0), b.input(1)];
  const positions = f.reshape(grid, [0, -1, 2]);
  const along = (which: number, imageAxis: number): Axis =>
    axisOf(b, f.reshape(f.slice(positions, [which], [which + 1], [2]), [0, -1]), imageAxis);
  const [x, y] = [along(0, 3), along(1, 2)];
  const isNearest = b.string("mode") === "nearest";
  const pixels = f.reshape(image, [0, 0, -1]);
  const dy = f.reshape(b.dy, [0, 0, -1]);
  const everyChannel = (value: Value): Value => f.expand(f.unsqueeze(value, [1]), f.shape(dy));
  let ofImage: Value | null = null;
  let ofX: Value | null = null;
  let ofY: Value | null = null;
  const sum = (total: Value | null, part: Value): Value => (total === null ? part : f.add(total, part));
  for (const v of neighbours(f, y, isNearest)) {
    for (const h of neighbours(f, x, isNearest)) {
      const place = f.cast(f.add(f.mul(v.place, x.size), h.place), DataType.int64);
      const places = everyChannel(place);
      const isInside = f.and(v.isInside, h.isInside);
      if (b.wants(0)) {
        const weight = f.where(isInside, f.mul(v.weight, h.weight), 0);
        const updates = f.mul(dy, f.unsqueeze(weight, [1]));
        ofImage = sum(ofImage, f.scatterAdd(f.shape(pixels), places, updates, 2));
      }
      if (!b.wants(1) || isNearest) continue;
      const seen = f.sum(f.mul(dy, f.gatherElements(pixels, places, 2)), [1], false);
      const counted = f.where(isInside, seen, 0);
      ofX = sum(ofX, f.mul(counted, f.mul(h.change, v.weight)));
      ofY = sum(ofY, f.mul(counted, f.mul(v.change, h.weight)));
    }
  }
  const dImage = ofImage === null ? null : f.reshape(ofImage, sizes.target(image));
  if (ofX === null || ofY === null) return [dImage, null];
  const both = [f.mul(ofX, x.slope), f.mul(ofY, y.slope)].map((each) => f.unsqueeze(each, [2]));
  return [dImage, f.reshape(f.concat(both, 2), sizes.target(grid))];
}

export const SAMPLING_RULES: GradientTable = {
  GridSample: { source: "PyTorch's grid_sample", gradient: gridSample },
};
