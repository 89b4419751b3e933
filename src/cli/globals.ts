import type { Command } from "commander";
import { withConfig } from "./config/options.ts";

/** The global options may stand after the command too. */
export function withGlobals(command: Command): Command {
  return withConfig(command)
    .option("--json", "JSON on stdout")
    .option("--quiet", "no narration")
    .option("--debug", "print the stack of an error")
    .showSuggestionAfterError();
}
