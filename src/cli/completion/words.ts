import type { Command, Option } from "commander";

/** An option as shells complete it. */
export interface CompletedOption {
  /** With its dashes. */
  readonly flags: readonly string[];
  readonly description: string;
  /** What comes behind it; null: nothing. */
  readonly value: { readonly name: string; readonly choices: readonly string[] } | null;
  readonly isRepeatable: boolean;
}

export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** What stands first behind it, where that is one of a few words. */
  readonly words: readonly string[];
}

/** What shells need of a command. */
export function completed(name: string, summary: string, command: Command): CompletedCommand {
  const [first] = command.registeredArguments;
  return { name, summary, options: command.options.map(optionOf), words: first?.argChoices ?? [] };
}

function optionOf(option: Option): CompletedOption {
  const { long, short, description, required, optional, argChoices = [], flags } = option;
  const name = /[<[]([^>\]]+)/.exec(flags)?.[1] ?? "value";
  return {
    flags: [short, long].filter((flag) => flag !== undefined),
    description,
    value: required || optional ? { name, choices: argChoices } : null,
    isRepeatable: option.variadic || /repeatable/.test(description),
  };
}
