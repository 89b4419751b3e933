import { existsSync } from "node:fs";
import type { Command } from "commander";
import { CONFIG_NAMES } from "./names.ts";

/** Adds what says where options come from beside the line. */
export function withConfig(command: Command): Command {
  return command
    .option(
      "--config <file>",
      "options from a .json, .yaml or .toml file (default: onnx-agr.config.* of the working folder)",
    )
    .option("--no-config", "no options from a file")
    .option("--print-config", "say the options with where each comes from, and do nothing");
}

/** Whether anything but the line says options; help needs none. */
export function mayBeConfigured(args: readonly string[]): boolean {
  if (args.includes("--help") || args.includes("-h")) return false;
  return args.some((arg) => /^--(no-|print-)?config\b/.test(arg)) || CONFIG_NAMES.some((name) => existsSync(name));
}
