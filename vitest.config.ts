import { defineConfig } from "vitest/config";
import { V8_FLAGS } from "./tests/support/v8-flags.ts";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    globalSetup: ["tests/global-setup.ts"],
    execArgv: [...V8_FLAGS],
    // Left alone, vitest keeps a core free, which is half of a machine with two.
    maxWorkers: "100%",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
