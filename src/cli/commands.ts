import type { Command } from "commander";

interface Entry {
  /** What the list of commands says of it. */
  readonly summary: string;
  /** Loads what the command needs, which is most of the package. */
  readonly load: () => Promise<Command>;
}

/** In the order of the help. */
export const COMMANDS: Readonly<Record<string, Entry>> = {
  inspect: {
    summary: "say what a model, checkpoint or folder is, which optimizers it has, and whether AGR is in it",
    load: async () => (await import("./commands/inspect.ts")).inspectCommand(),
  },
  insert: {
    summary: "put AGR before the optimizer of exported training artifacts",
    load: async () => (await import("./commands/insert.ts")).insertCommand(),
  },
  strip: {
    summary: "take AGR out again: the model is then what it was before insert",
    load: async () => (await import("./commands/strip.ts")).stripCommand(),
  },
  verify: {
    summary: "check a model or folder that has AGR in it: gradients, formula, strength 0, structure",
    load: async () => (await import("./commands/verify.ts")).verifyCommand(),
  },
  diff: {
    summary: "say what differs between two models",
    load: async () => (await import("./commands/diff.ts")).diffCommand(),
  },
  build: {
    summary: "make training artifacts from a forward model: loss, gradients, optimizer, checkpoint",
    load: async () => (await import("./commands/build.ts")).buildCommand(),
  },
  gradcheck: {
    summary: "compare a model's gradients with finite differences of its loss",
    load: async () => (await import("./commands/gradcheck.ts")).gradcheckCommand(),
  },
  lower: {
    summary: "write ONNX Runtime's training artifacts in standard operators only",
    load: async () => (await import("./commands/lower.ts")).lowerCommand(),
  },
  upgrade: {
    summary: "raise a model to a later opset: every node computes what it computed before",
    load: async () => (await import("./commands/upgrade.ts")).upgradeCommand(),
  },
  train: {
    summary: "train artifacts through ONNX Runtime",
    load: async () => (await import("./commands/train.ts")).trainCommand(),
  },
  eval: {
    summary: "run the eval model over data: the mean loss, and the accuracy where there are classes",
    load: async () => (await import("./commands/eval.ts")).evalCommand(),
  },
  diagnose: {
    summary: "per parameter: how large its gradient is, and what AGR changes",
    load: async () => (await import("./commands/diagnose.ts")).diagnoseCommand(),
  },
  export: {
    summary: "write an inference model with trained weights",
    load: async () => (await import("./commands/export.ts")).exportCommand(),
  },
  demo: {
    summary: "the whole way on embedded data: insert AGR, train with and without it, compare",
    load: async () => (await import("./commands/demo.ts")).demoCommand(),
  },
};
