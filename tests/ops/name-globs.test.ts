import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { globOf, nameMatcher } from "../../src/ops/name-globs.ts";
import { errorOf } from "../support/errors.ts";

const NAMES = [
  "a",
  "ab",
  "a.b",
  "a/b",
  "layers[0].w",
  "layers0.w",
  "a*b",
  "a\\b",
  "-",
  "]",
  "b1",
  "B",
  "aXbXc",
  "{a}",
  "a,b",
];
const PATTERNS = [
  "*",
  "a*",
  "*b",
  "?",
  "a?b",
  "*.w",
  "layers[0].w",
  "layers\\[0\\].w",
  "[a-c]*",
  "[!a]*",
  "[^a]?",
  "[]]",
  "[a-]",
].concat(["a\\*b", "a\\\\b", "*X*X*", "**b", "[ab", "{a}", "a,b", "*[0-9]*", "[!]]", "[z-]", "?*?", "[B]"]);

describe("globs of names", () => {
  it("match what bash matches", () => {
    const script = 'while IFS= read -r p; do for n in "$@"; do [[ $n == $p ]] && echo "$p $n"; done; done';
    const { stdout } = spawnSync("bash", ["-c", `shopt -u extglob; ${script}; true`, "bash", ...NAMES], {
      input: `${PATTERNS.join("\n")}\n`,
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
    });
    const ours = PATTERNS.flatMap((pattern) => {
      const matches = nameMatcher([pattern], "x");
      return NAMES.filter((name) => matches(name) && name !== pattern).map((name) => `${pattern} ${name}`);
    });
    const theirs = stdout.trimEnd().split("\n");
    expect(theirs.length).toBeGreaterThan(60);
    expect(ours).toEqual(theirs.filter((line) => !PATTERNS.some((each) => line === `${each} ${each}`)));
  });

  it("have alternatives in braces, within each other too", () => {
    const matches = nameMatcher(["l{1,2{a,b},}.{w,b}"], "x");
    const names = ["l1.w", "l2a.b", "l2b.w", "l.w", "l2.w", "l1", "l1.", "l{1,}.w"];
    expect(names.filter(matches)).toEqual(["l1.w", "l2a.b", "l2b.w", "l.w"]);
  });

  it("match a name by itself, and by its escaped form alone, whatever is in it", () => {
    for (const name of [...NAMES, "f(x|y)", "😀*", "x".repeat(100_000)]) {
      const matches = nameMatcher([globOf(name)], "x");
      expect([name, "other", `${name}x`].map(matches)).toEqual([true, false, false]);
    }
    expect(["?", "😀", "😀😀"].map(nameMatcher(["?"], "x"))).toEqual([true, true, false]);
  });

  it.each([
    ["stars", "*a*a*a*a*a*b"],
    ["as many as there may be", `${"*a".repeat(500)}*b`],
    ["alternatives", "{a,a}".repeat(200)],
    ["alternatives in alternatives", `${"{*,*".repeat(200)}${"}".repeat(200)}b`],
  ])("never take more than the length of both: %s", (_, pattern) => {
    const began = performance.now();
    expect(nameMatcher([pattern], "x")("a".repeat(1000))).toBe(false);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it.each([
    ["long", "*".repeat(70_000), /^the pattern "\*{60}\.\.\." is longer than 1024 characters$/],
    ["one of", "@(a|b)", /a syntax that is not known here/],
    ["none of", "!(a)", /a syntax that is not known here/],
    ["an expression", "(a+)+(b|c)", /a syntax that is not known here/],
    ["a class", "[[:digit:]]", /a syntax that is not known here/],
    ["a range in braces", "w{1..12}", /write \{1,2,3\} or \[1-3\]/],
    ["an empty range", "[z-a]", /has the range z-a, which is empty/],
  ])("are refused where they are too long or of another syntax: %s", (_, pattern, message) => {
    const error = errorOf(() => nameMatcher([pattern], "freeze"));
    expect(error).toMatchObject({ code: "E_OPTION", exitCode: 2, field: "freeze" });
    expect(error.message).toMatch(message);
  });
});
