import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { cli, DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";

/** The other tests run commands in their own process; here each is built and a process of its own, as users run it. */
describe("as a process", () => {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-processes-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);
  writeFileSync(at("data.safetensors"), encodeSafetensors(drawDigits(40, 3)));
  const data = ["--data", at("data.safetensors")];

  /** In an order in which each finds what an earlier one has made; what it prints; its exit code where it finds nothing. */
  const COMMAND_LINES: Readonly<Record<string, readonly [readonly string[], RegExp]>> = {
    export: [["export", DIGITS, "-o", at("forward.onnx")], /forward\.onnx/],
    build: [["build", at("forward.onnx"), "--loss", "cross-entropy", "-o", at("set")], /6 parameters|trained/],
    inspect: [["inspect", at("set")], /AdamW/],
    insert: [["insert", at("set"), "-o", at("agr")], /regularized: /],
    verify: [["verify", at("agr")], /ok/],
    strip: [["strip", at("agr"), "-o", at("plain")], /plain/],
    diff: [["diff", at("set"), at("plain")], /^no structural difference\n$/],
    lower: [["lower", DIGITS, "-o", at("portable")], /portable/],
    train: [["train", at("portable"), ...data, "--checkpoints", at("run")], /run/],
    compare: [
      [
        ...["compare", at("forward.onnx"), "--loss", "cross-entropy", ...data, "--validation", "0.2"],
        ...["--vary", "agr=off,on", "--seeds", "3", "-o", at("comparison")],
      ],
      /3 seeds, given weights[\s\S]*agr=on, compared with agr=off/,
    ],
    average: [["average", at("run"), at("run"), "-o", at("mean.safetensors")], /mean\.safetensors/],
    eval: [["eval", at("portable"), ...data, "--checkpoint", at("run")], /accuracy/],
    diagnose: [["diagnose", at("portable"), ...data], /fc\.weight/],
    summary: [["summary", at("forward.onnx")], /3818 elements are trained/],
    gradcheck: [["gradcheck", at("forward.onnx"), "--loss", "cross-entropy"], /fc\.weight/],
    transform: [
      ["transform", at("forward.onnx"), "-o", at("transformed.onnx"), "--passes", "inline-functions"],
      /transformed\.onnx/,
    ],
    upgrade: [["upgrade", at("forward.onnx"), "-o", at("upgraded.onnx"), "--opset", "18"], /opset 1\d to 18/],
    data: [["data", at("data.safetensors")], /^input: float \[40,1,16,16\]/],
    completion: [["completion", "bash"], /complete -o filenames -F _onnx_agr onnx-agr\n$/],
    demo: [
      ["demo", "--epochs", "1"],
      /AdamW with AGR in ort-node .* ms a step\s+last training loss [\d.]+\s+test loss [\d.]+\s+test accuracy [\d.]+ %.*Picture: agr-demo\.svg/s,
    ],
  };

  /** What each has written to stderr. */
  const said = new Map<string, string>();

  it.each(Object.entries(COMMAND_LINES))("%s ends with 0 and its result on stdout", (name, [args, printed]) => {
    const { status, stdout, stderr } = cli(args, { cwd: folder });
    said.set(name, stderr);
    expect([status, stdout], stderr).toEqual([0, expect.stringMatching(printed)]);
  });

  it("demo has said what it did and drawn the picture", () => {
    expect(said.get("demo")).toContain(
      "Inserted AGR into the optimizer model: com.microsoft.AdamWOptimizer, 6 gradients",
    );
    expect(readFileSync(at("agr-demo.svg"), "utf8")).toMatch(/^<svg xmlns.*<polyline points="[\d., ]+"/s);
  });

  it.each(Object.keys(COMMAND_LINES))(
    "%s ends with 2 and an error on stderr where an option is unknown",
    async (name) => {
      /** What a process makes of a status is the same for all. */
      const { status, stdout, stderr } = await (name === "inspect" ? cli : command)([name, "--no-such-option"]);
      expect([status, stdout, stderr]).toEqual([2, "", expect.stringContaining("error [E_USAGE]")]);
    },
  );

  it("every command has a line here", () => {
    expect(Object.keys(COMMAND_LINES).toSorted()).toEqual(Object.keys(COMMANDS).toSorted());
  });
});
