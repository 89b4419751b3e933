import { defineConfig } from "vitest/config";
import { V8_FLAGS } from "./tests/support/v8-flags.ts";

/** Ranks wait for each other by spinning: beside other tests they take many times as long. */
const RANKS = ["tests/distributed/{communicator,failures,local-steps,train,two-hosts}.test.ts"];

/** Files that look at their process, or change it: each has one of its own. All others share a few, which saves their loading. */
const ALONE = [
  "tests/graph/{clone,graph,names}.test.ts",
  "tests/passes/budgets.test.ts",
  "tests/reliability/{large,scale}.test.ts",
  "tests/runtime/ort-native/*.test.ts",
  "tests/runtime/ort-node/{ways,webgpu}.test.ts",
];

const common = { execArgv: [...V8_FLAGS], testTimeout: 60_000, hookTimeout: 60_000 };
/** Left alone, vitest keeps a core free, which is half of a machine with two. */
const maxWorkers = "100%";

export default defineConfig({
  test: {
    globalSetup: ["tests/global-setup.ts"],
    projects: [
      {
        test: { ...common, name: "ranks", include: RANKS, isolate: false, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
      { test: { ...common, name: "alone", include: ALONE, maxWorkers } },
      {
        test: {
          ...common,
          name: "together",
          include: ["tests/**/*.test.ts"],
          exclude: [...RANKS, ...ALONE],
          isolate: false,
          maxWorkers,
        },
      },
    ],
  },
});
