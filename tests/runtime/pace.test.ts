import { expect, it } from "vitest";
import { Pace } from "../../src/runtime/pace.ts";

/** Runs calls of a step that takes `step` seconds, with `copies` seconds beside each call, and `load` at the first. */
function settle({ step, copies, load = 0, of = 100_000, most = 1000 }: Readonly<Record<string, number>>): number {
  const pace = new Pace("auto");
  const loaded = new Set<boolean>();
  let remaining = of ?? 0;
  for (let call = 0; call < (most ?? 0) && remaining > 0; call++) {
    const { steps } = pace;
    remaining -= steps;
    const first = loaded.has(steps > 1) ? 0 : (load ?? 0);
    loaded.add(steps > 1);
    pace.ran(steps, first + (copies ?? 0) + steps * (step ?? 0), remaining);
  }
  return pace.steps;
}

it.each([
  ["small steps: as many as a call may have", { step: 1e-5, copies: 1e-4 }, 128],
  ["a call of a tenth of a second at most", { step: 0.01, copies: 0 }, 8],
  ["longer ones where copies cost much", { step: 0.0136, copies: 0.033 }, 32],
  ["and for long steps, too", { step: 0.197, copies: 0.085 }, 4],
  ["long steps that gain nothing, one by one", { step: 0.2, copies: 0 }, 1],
  ["up to a second", { step: 0.6, copies: 0.2 }, 1],
  ["loading a second model is no time lost", { step: 0.01, copies: 0.01, load: 2, of: 50 }, 1],
  ["and is not taken for the time of a step", { step: 0.001, copies: 0.002, load: 2, of: 10_000 }, 64],
])("the number of steps per call: %s", (_, times, expected) => {
  expect(settle(times)).toBe(expected);
});

it("a fixed number stays, and calls of another size say nothing", () => {
  const fixed = new Pace(5);
  fixed.ran(5, 1e-6, 1000);
  fixed.ran(5, 1e-6, 1000);
  expect(fixed.steps).toBe(5);
  const cut = new Pace("auto");
  for (let call = 0; call < 2; call++) cut.ran(1, 1e-4, 1000);
  expect(cut.steps).toBe(2);
  for (let call = 0; call < 20; call++) cut.ran(1, 1e-4, 1000);
  expect(cut.steps).toBe(2);
});
