import type { CompletedCommand, CompletedOption } from "./words.ts";

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** The script for fish. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, summary, options, words }) => {
    const within = `complete -c onnx-agr -n ${quoted(`__fish_seen_subcommand_from ${name}`)}`;
    return [
      `complete -c onnx-agr -f -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
      ...(words.length === 0 ? [] : [`${within} -f -a ${quoted(words.join(" "))}`]),
      ...options.map((option) => `${within} ${optionOf(option)}`),
    ];
  });
  return `# onnx-agr: completion for fish\n${lines.join("\n")}\n`;
}

function optionOf({ flags, description, value }: CompletedOption): string {
  const names = flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const argument =
    value === null ? [] : value.choices.length === 0 ? ["-r -F"] : ["-x", `-a ${quoted(value.choices.join(" "))}`];
  return [...names, ...argument, `-d ${quoted(description)}`].join(" ");
}
