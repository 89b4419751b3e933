import { expect, it } from "vitest";
import { phasesOf } from "../../src/passes/blocked/phases.ts";

it("counts an axis in phases", () => {
  const axis = { kernel: 3, stride: 2, dilation: 1, begin: 1, image: 4, results: 8 };
  expect(phasesOf(axis)).toEqual({
    all: [
      { taps: [1], begin: 0, end: 0 },
      { taps: [2, 0], begin: 0, end: 1 },
    ],
    dilation: 1,
    places: 4,
  });
  expect(phasesOf({ ...axis, kernel: 1, begin: 0 })?.all).toEqual([{ taps: [0], begin: 0, end: 0 }, null]);
  expect(phasesOf({ ...axis, stride: 3, results: 12 })).toBeNull();
});
