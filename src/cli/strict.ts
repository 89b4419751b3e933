import type { Command } from "commander";

/** How the models that a command is given are read. */
export interface StrictOption {
  readonly strict?: boolean;
}

/** Adds --strict to a command that reads models. */
export function withStrict(command: Command): Command {
  return command.option(
    "--strict",
    "refuse external data that are hard links, overlap or have unknown keys; else they are a warning",
  );
}

export const readingOf = ({ strict }: StrictOption): { readonly strict: boolean } => ({ strict: strict === true });
