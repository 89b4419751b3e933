import type { CompletedCommand, CompletedOption } from "./words.ts";

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Brackets and colons end what they stand in. */
const escaped = (text: string): string => text.replace(/[[\]:\\]/g, "\\$&");

/** The script for zsh. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  const cases = commands.map(({ name, options, words }) => {
    const first = words.length === 0 ? "*:file:_files" : `1:word:(${words.join(" ")})`;
    const specs = [...options.flatMap(specsOf), first];
    return `    ${name})\n      _arguments -S ${specs.map(quoted).join(" \\\n        ")}\n      ;;`;
  });
  return `#compdef onnx-agr
# onnx-agr: completion for zsh
_onnx_agr() {
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${escaped(summary)}`)}`).join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands command commands
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
${cases.join("\n")}
  esac
}
if [ "$funcstack[1]" = "_onnx_agr" ]; then
  _onnx_agr "$@"
else
  compdef _onnx_agr onnx-agr
fi
`;
}

function specsOf({ flags, description, value, isRepeatable }: CompletedOption): readonly string[] {
  const action =
    value === null
      ? ""
      : `:${escaped(value.name)}:${value.choices.length === 0 ? "_files" : `(${value.choices.join(" ")})`}`;
  return flags.map((flag) => `${isRepeatable ? "*" : ""}${flag}[${escaped(description)}]${action}`);
}
