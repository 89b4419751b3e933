import { COMMANDS } from "../../src/cli/commands.ts";
import { rejectionOf } from "./errors.ts";

/**
 * The error that a command ends with, run in this process: faster than a process of its own (`cli`), which shows exit code
 * and message as a user sees them.
 */
export async function failureOf(args: readonly string[]): ReturnType<typeof rejectionOf> {
  const [name = "", ...rest] = args;
  const command = await COMMANDS[name]?.load();
  if (command === undefined) throw new Error(`there is no command ${name}`);
  command.exitOverride().configureOutput({ writeErr: () => undefined });
  return rejectionOf(command.parseAsync(rest, { from: "user" }));
}
