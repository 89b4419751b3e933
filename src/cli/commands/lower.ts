import { Command } from "commander";
import { PORTABLE_FILES } from "../../entries/training.ts";
import { lowerArtifacts, type ParameterGroup, readArtifacts, writeTrainingSet } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { withGroups } from "../parameter-groups.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget, withFolder } from "../target.ts";

interface LowerOptions extends StrictOption {
  readonly output: string;
  readonly group: readonly ParameterGroup[];
  readonly force?: boolean;
}

export function lowerCommand(io: Io): Command {
  const command = new Command("lower")
    .description("Write ONNX Runtime's training artifacts as a portable set, in standard operators only")
    .argument("<folder>", "folder of training artifacts")
    .requiredOption("-o, --output <folder>", "the portable set");
  return withStrict(withGroups(command))
    .option("--force", "replace files that exist")
    .addHelpText(
      "after",
      `
The set is ${Object.values(PORTABLE_FILES).join(", ")}. Any ONNX runtime runs its models; their metadata say which output
becomes which input of the next step.

Example:
  onnx-agr lower artifacts -o portable
  onnx-agr lower artifacts -o portable --group '*.bias:decay=0' --group 'encoder.*:lr=0.1'`,
    )
    .action(async (folder: string, options: LowerOptions, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      const replace = options.force === true;
      await checkTarget(folder, options.output, { force: replace, inPlace: false, kind: "folder" });
      const artifacts = await readArtifacts(folder, readingOf(options));
      const portable = await lowerArtifacts(artifacts, { parameterGroups: options.group });
      const set = { onnxruntime: null, portable };
      const files = await withFolder(options.output, () => writeTrainingSet(options.output, set, { replace }));
      const nodes = portable.trainStep?.graph.nodeCount ?? portable.gradients.graph.nodeCount;
      console.result(
        { command: "lower", input: folder, output: options.output, files, nodes, opset: portable.gradients.opset },
        `${options.output}: ${files.join(", ")} (a step has ${nodes} nodes, opset ${portable.gradients.opset})`,
      );
    });
}
