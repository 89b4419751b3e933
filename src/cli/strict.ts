import type { Command } from "commander";
import type { Console } from "./console.ts";

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

/** The same for forward models, whose nodes need not be sorted: that is said. */
export const forwardReadingOf = (options: StrictOption, console: Console) => ({
  ...readingOf(options),
  sort: (note: string): void => console.note(note),
});

export const readingOf = ({ strict }: StrictOption): { readonly strict: boolean } => ({ strict: strict === true });
