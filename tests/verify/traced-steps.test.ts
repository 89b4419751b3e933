import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { TRACED_NAMES, TRACED_REFUSED, tracedText, tracedVerdict } from "../support/traced-steps.ts";

describe("rows 106 and 107: steps as PyTorch's tracer writes them, against AGR by hand", () => {
  it("are listed in docs/forms.md", () => {
    expect(readFileSync(new URL("../../docs/forms.md", import.meta.url), "utf8")).toContain(tracedText());
  });

  it.each(TRACED_NAMES.filter((name) => !TRACED_REFUSED.has(name)))(
    "%s is right",
    { timeout: 30_000 },
    async (name) => {
      expect(await tracedVerdict(name)).toBe("right");
    },
  );

  it.each([...TRACED_REFUSED])("%s is refused, and right as its hint says", { timeout: 30_000 }, async (name) => {
    const flags = await tracedVerdict(name);
    expect(flags).toBeInstanceOf(Array);
    expect(await tracedVerdict(name, [...flags])).toBe("right");
  });
});
