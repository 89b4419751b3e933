import type { CompletedCommand } from "./words.ts";

/** Words of options and names hold nothing that a shell obeys; a test looks. */
const words = (list: readonly string[]): string => list.join(" ");

/** The script for bash. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  const choices = commands.flatMap(({ name, options }) =>
    options.flatMap(({ flags, value }) =>
      value === null || value.choices.length === 0
        ? []
        : [`    ${flags.map((flag) => `"${name} ${flag}"`).join("|")}) words="${words(value.choices)}" ;;`],
    ),
  );
  const options = commands.map(
    (command) => `      ${command.name}) words="${words(command.options.flatMap(({ flags }) => flags))}" ;;`,
  );
  const firsts = commands.flatMap(({ name, words: own }) =>
    own.length === 0 ? [] : [`    ${name}) words="${words(own)}" ;;`],
  );
  return `# onnx-agr: completion for bash
_onnx_agr() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" cmd="" words="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ "\${COMP_WORDS[i]}" != -* ]]; then cmd="\${COMP_WORDS[i]}"; break; fi
  done
  case "$cmd $prev" in
${choices.join("\n")}
  esac
  if [[ -n "$words" ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    return
  fi
  if [[ -z "$cmd" ]]; then
    COMPREPLY=($(compgen -W "${words(commands.map(({ name }) => name))} --help --version" -- "$cur"))
    return
  fi
  if [[ "$cur" == -* ]]; then
    case "$cmd" in
${options.join("\n")}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    return
  fi
  case "$cmd" in
${firsts.join("\n")}
  esac
  if [[ -n "$words" ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); else COMPREPLY=($(compgen -f -- "$cur")); fi
}
complete -o filenames -F _onnx_agr onnx-agr
`;
}
