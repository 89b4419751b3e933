import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { DataType, GraphTensor, type NamedTensor } from "../../entries/graph.ts";

const SIZE = 16;

type Point = readonly [x: number, y: number];

/** A circle arc as points; angles in quarter turns, clockwise from the right. */
function arc(x: number, y: number, radiusX: number, radiusY: number, from: number, to: number): readonly Point[] {
  return Array.from({ length: 13 }, (_, index): Point => {
    const angle = ((from + ((to - from) * index) / 12) * Math.PI) / 2;
    return [x + radiusX * Math.cos(angle), y + radiusY * Math.sin(angle)];
  });
}

/** Each digit as pen strokes in the unit square, y downwards. */
const STROKES: readonly (readonly (readonly Point[])[])[] = [
  [arc(0.5, 0.5, 0.24, 0.36, 0, 4)],
  [
    [
      [0.36, 0.28],
      [0.54, 0.14],
      [0.54, 0.86],
    ],
  ],
  [[...arc(0.5, 0.34, 0.22, 0.2, 2, 4.4), [0.28, 0.86], [0.74, 0.86]]],
  [arc(0.48, 0.32, 0.22, 0.18, 2.3, 5), arc(0.48, 0.68, 0.24, 0.18, 3, 5.8)],
  [
    [
      [0.62, 0.86],
      [0.62, 0.14],
      [0.26, 0.62],
      [0.78, 0.62],
    ],
  ],
  [
    [
      [0.7, 0.14],
      [0.34, 0.14],
      [0.31, 0.46],
    ],
    arc(0.48, 0.64, 0.24, 0.22, 2.9, 5.9),
  ],
  [
    [
      [0.64, 0.14],
      [0.36, 0.44],
    ],
    arc(0.5, 0.64, 0.22, 0.22, 0, 4),
  ],
  [
    [
      [0.26, 0.14],
      [0.74, 0.14],
      [0.42, 0.86],
    ],
  ],
  [arc(0.5, 0.32, 0.19, 0.18, 0, 4), arc(0.5, 0.68, 0.23, 0.19, 0, 4)],
  [
    arc(0.5, 0.36, 0.22, 0.22, 0, 4),
    [
      [0.7, 0.4],
      [0.6, 0.86],
    ],
  ],
];

/**
 * Draws digits: each turned, scaled, sheared and moved by chance, with a pen of random width, and noise.
 * @returns `input` [count, 1, 16, 16] with grey values about 0..1, and `labels` [count]
 */
export function drawDigits(count: number, seed: number): readonly NamedTensor[] {
  const random = xoroshiro128plus(seed);
  const between = (low: number, high: number): number => low + (high - low) * uniformFloat32(random);
  const pixels = new Float32Array(count * SIZE * SIZE);
  const labels = new BigInt64Array(count);
  for (let sample = 0; sample < count; sample++) {
    const digit = uniformInt(random, 0, 9);
    labels[sample] = BigInt(digit);
    const place = affine(
      between(-0.35, 0.35),
      between(0.7, 1.1),
      between(-0.3, 0.3),
      between(-0.1, 0.1),
      between(-0.1, 0.1),
    );
    const strokes = (STROKES[digit] ?? []).map((stroke) => stroke.map(place));
    const reach = between(0.035, 0.075) + 0.03;
    const ink = between(0.6, 1);
    for (const [pixel, distance] of distances(strokes, reach).entries()) {
      const covered = Math.min(Math.max((reach - distance) / 0.06, 0), 1);
      pixels[sample * SIZE * SIZE + pixel] = ink * covered + between(-0.25, 0.25);
    }
  }
  return [
    { name: "input", tensor: GraphTensor.from(DataType.float, [count, 1, SIZE, SIZE], pixels) },
    { name: "labels", tensor: GraphTensor.from(DataType.int64, [count], labels) },
  ];
}

function affine(turn: number, scale: number, shear: number, moveX: number, moveY: number): (point: Point) => Point {
  const [cos, sin] = [Math.cos(turn) * scale, Math.sin(turn) * scale];
  return ([x, y]) => {
    const [dx, dy] = [x - 0.5 + shear * (y - 0.5), y - 0.5];
    return [0.5 + moveX + cos * dx - sin * dy, 0.5 + moveY + sin * dx + cos * dy];
  };
}

/** How far each pixel's middle is from the nearest stroke, or infinity where that is farther than `reach`. */
function distances(strokes: readonly (readonly Point[])[], reach: number): Float64Array {
  const nearest = new Float64Array(SIZE * SIZE).fill(Number.POSITIVE_INFINITY);
  for (const stroke of strokes) {
    for (const [index, to] of stroke.entries()) {
      const from = stroke[index - 1];
      if (from === undefined) continue;
      const [left, right] = pixelsBetween(from[0], to[0], reach);
      const [top, bottom] = pixelsBetween(from[1], to[1], reach);
      for (let row = top; row <= bottom; row++) {
        for (let column = left; column <= right; column++) {
          const at = row * SIZE + column;
          const distance = distanceToSegment([(column + 0.5) / SIZE, (row + 0.5) / SIZE], from, to);
          nearest[at] = Math.min(nearest[at] ?? distance, distance);
        }
      }
    }
  }
  return nearest;
}

/** The first and last pixel along an axis within `reach` of what lies between two places. */
function pixelsBetween(one: number, other: number, reach: number): readonly [number, number] {
  return [
    Math.max(Math.floor((Math.min(one, other) - reach) * SIZE - 0.5), 0),
    Math.min(Math.ceil((Math.max(one, other) + reach) * SIZE - 0.5), SIZE - 1),
  ];
}

function distanceToSegment([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0), 1);
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
