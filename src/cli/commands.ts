import type { Command } from "commander";
import type { Io } from "./io.ts";

interface Entry {
  /** What the list of commands says of it. */
  readonly summary: string;
  /** Loads what the command needs, which is most of the package. */
  readonly load: (io: Io) => Promise<Command>;
}

/** In the order of the help. */
export const COMMANDS: Readonly<Record<string, Entry>> = {
  inspect: {
    summary: "say what a model, checkpoint or folder is, which optimizers it has, and whether AGR is in it",
    load: async (io) => (await import("./commands/inspect.ts")).inspectCommand(io),
  },
  insert: {
    summary: "put AGR before the optimizer of exported training artifacts",
    load: async (io) => (await import("./commands/insert.ts")).insertCommand(io),
  },
  strip: {
    summary: "take AGR out again: the model is then what it was before insert",
    load: async (io) => (await import("./commands/strip.ts")).stripCommand(io),
  },
  verify: {
    summary: "check a model or folder that has AGR in it: gradients, formula, strength 0, structure",
    load: async (io) => (await import("./commands/verify.ts")).verifyCommand(io),
  },
  diff: {
    summary: "say what differs between two models",
    load: async (io) => (await import("./commands/diff.ts")).diffCommand(io),
  },
  summary: {
    summary: "say what a forward model consists of: layers, shapes, parameters, multiply-adds, memory",
    load: async (io) => (await import("./commands/summary.ts")).summaryCommand(io),
  },
  build: {
    summary: "make training artifacts from a forward model: loss, gradients, optimizer, checkpoint",
    load: async (io) => (await import("./commands/build.ts")).buildCommand(io),
  },
  gradcheck: {
    summary: "compare a model's gradients with finite differences of its loss",
    load: async (io) => (await import("./commands/gradcheck.ts")).gradcheckCommand(io),
  },
  lower: {
    summary: "write ONNX Runtime's training artifacts in standard operators only",
    load: async (io) => (await import("./commands/lower.ts")).lowerCommand(io),
  },
  upgrade: {
    summary: "raise a model to a later opset: every node computes what it computed before",
    load: async (io) => (await import("./commands/upgrade.ts")).upgradeCommand(io),
  },
  transform: {
    summary: "run passes over a model, given as a list of names and options",
    load: async (io) => (await import("./commands/transform.ts")).transformCommand(io),
  },
  train: {
    summary: "train artifacts through ONNX Runtime",
    load: async (io) => (await import("./commands/train.ts")).trainCommand(io),
  },
  eval: {
    summary: "run the eval model over data: the mean loss, and the accuracy where there are classes",
    load: async (io) => (await import("./commands/eval.ts")).evalCommand(io),
  },
  compare: {
    summary: "train option sets with several seeds, with AGR and without: do they differ by more than chance?",
    load: async (io) => (await import("./commands/compare.ts")).compareCommand(io),
  },
  average: {
    summary: "average checkpoints that were trained apart",
    load: async (io) => (await import("./commands/average.ts")).averageCommand(io),
  },
  diagnose: {
    summary: "per parameter: how large its gradient is, and what AGR changes",
    load: async (io) => (await import("./commands/diagnose.ts")).diagnoseCommand(io),
  },
  data: {
    summary: "say what training data hold: shapes, ranges, classes",
    load: async (io) => (await import("./commands/data.ts")).dataCommand(io),
  },
  export: {
    summary: "write an inference model with trained weights",
    load: async (io) => (await import("./commands/export.ts")).exportCommand(io),
  },
  completion: {
    summary: "print a script that completes commands and options in bash, zsh or fish",
    load: async (io) => (await import("./commands/completion.ts")).completionCommand(io),
  },
  demo: {
    summary: "the whole way on embedded data: insert AGR, train with and without it, compare",
    load: async (io) => (await import("./commands/demo.ts")).demoCommand(io),
  },
};
