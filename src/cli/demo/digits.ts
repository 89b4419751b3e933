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
    const pen = between(0.035, 0.075);
    const ink = between(0.6, 1);
    for (let pixel = 0; pixel < SIZE * SIZE; pixel++) {
      const at: Point = [((pixel % SIZE) + 0.5) / SIZE, (Math.floor(pixel / SIZE) + 0.5) / SIZE];
      const distance = Math.min(...strokes.map((stroke) => distanceToStroke(at, stroke)));
      const covered = Math.min(Math.max((pen + 0.03 - distance) / 0.06, 0), 1);
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

function distanceToStroke(point: Point, stroke: readonly Point[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (let index = 1; index < stroke.length; index++) {
    const [a, b] = [stroke[index - 1], stroke[index]];
    if (a !== undefined && b !== undefined) least = Math.min(least, distanceToSegment(point, a, b));
  }
  return least;
}

function distanceToSegment([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0), 1);
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
