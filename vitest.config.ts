import { defineConfig } from "vitest/config";
import { V8_FLAGS } from "./tests/support/v8-flags.ts";

/** Ranks wait for each other by spinning: beside other tests they take many times as long. */
const RANKS = ["tests/distributed/{communicator,endings,failures,local-steps,train,two-hosts}.test.ts"];

/** What only other programs show (a browser, a GPU's driver, injected faults, the maker of the site), or many processes and much memory. */
const BORDERS = [
  "tests/cli/{faults,interrupted-set,isolate,streams}.test.ts",
  "tests/graph/io/largest-file.test.ts",
  "tests/reliability/{large,scale}.test.ts",
  "tests/runtime/ort-native/{memory,orders,shards-orders}.test.ts",
  "tests/runtime/ort-node/{isolation,webgpu,worker-file}.test.ts",
  "tests/site.test.ts",
  "tests/web/{browser,examples}.test.ts",
];

/** Files that look at their process, change it or need several cores: each has one of its own. All others share a few, which saves their loading. */
const ALONE = [
  "tests/autodiff/repeated-indices.test.ts",
  "tests/graph/{clone,graph,names}.test.ts",
  "tests/passes/budgets.test.ts",
  "tests/runtime/ort-native/*.test.ts",
  "tests/runtime/ort-node/ways.test.ts",
];

const common = { execArgv: [...V8_FLAGS], testTimeout: 60_000, hookTimeout: 60_000 };
/** Left alone, vitest keeps a core free, which is half of a machine with two. */
const maxWorkers = "100%";

/** `npm test` runs `alone` and `together`, `npm run test:borders` the other two, and `vitest` by itself all. */
export default defineConfig({
  test: {
    globalSetup: ["tests/global-setup.ts"],
    projects: [
      {
        test: { ...common, name: "ranks", include: RANKS, isolate: false, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
      { test: { ...common, name: "borders", include: BORDERS, maxWorkers } },
      { test: { ...common, name: "alone", include: ALONE, exclude: BORDERS, maxWorkers } },
      {
        test: {
          ...common,
          name: "together",
          include: ["tests/**/*.test.ts"],
          exclude: [...RANKS, ...BORDERS, ...ALONE],
          isolate: false,
          maxWorkers,
          setupFiles: ["tests/support/own-core.ts"],
        },
      },
    ],
  },
});
