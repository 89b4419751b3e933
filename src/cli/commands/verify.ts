import { Command } from "commander";
import { type FinishedReport, OnnxAgrError, PassError, readTrainingSet, verifyFinished } from "../../index.ts";
import { checkAttestation, digestsOf, packageUrl, statement, versions, writeAttestation } from "../attestation.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { readModelArgument, STANDARD } from "../models.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { kindOf } from "../target.ts";
import { collect } from "../values.ts";
import { type Subject, subjectsOf } from "./rewrite.ts";

interface VerifyOptions extends StrictOption {
  readonly gradient: readonly string[];
  readonly allowPartial?: boolean;
  readonly attest?: string;
  readonly force?: boolean;
}

export function verifyCommand(io: Io): Command {
  const command = new Command("verify")
    .description(
      "Check a model that has AGR in it, whoever made it: what is regularized is the gradient, what the optimizer reads is the formula, strength 0 changes nothing, and nothing else was changed",
    )
    .argument("<input>", "model with AGR, folder of training artifacts, or - for a model on stdin")
    .option(
      "--gradient <tensor=parameter>",
      "plain train steps: a gradient that you answer for; repeatable",
      collect,
      [],
    )
    .option("--allow-partial", "parameters may be without AGR")
    .option("--attest <file>", "write an in-toto statement of the files and of the result")
    .option("--force", "replace a statement that exists")
    .addHelpText(
      "after",
      `
Exits with 0 where no check failed, 7 where one did, 3 where the graph is not what its record says, 4 where there is no AGR.

Examples:
  onnx-agr verify step-agr.onnx
  onnx-agr verify artifacts-agr --attest artifacts-agr.intoto.json`,
    )
    .action(async (input: string, options: VerifyOptions, self: Command) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      await checkAttestation(input, null, options);
      const isFolder = input !== STANDARD && (await kindOf(input)) === "folder";
      const files = options.attest === undefined ? [] : await digestsOf(input);
      const subjects = isFolder
        ? subjectsOf(await readTrainingSet(input, readingOf(options)), input)
        : [{ model: await readModelArgument(input, io.stdin, readingOf(options)), file: null, artifacts: null }];
      const models = await verifyAll(input, subjects, options);
      const passed = models.every(({ report }) => report.passed);
      if (options.attest !== undefined) {
        const { attest: _, ...settings } = options;
        const predicate = await testResult(passed, settings, models);
        await writeAttestation(
          options.attest,
          statement(files, "https://in-toto.io/attestation/test-result/v0.1", predicate),
        );
      }
      console.result(
        { command: "verify", input, passed, models: models.map(({ file, report }) => ({ file, ...report })) },
        models.flatMap(linesOf),
      );
      if (!passed) io.exitCode = 7;
    });
  return withStrict(command);
}

interface Verified {
  readonly file: string | null;
  readonly report: FinishedReport;
}

/** @throws PassError `E_NO_AGR` where no model has it; what `verifyFinished` throws, naming the file */
async function verifyAll(
  input: string,
  subjects: readonly Subject[],
  { gradient, allowPartial }: VerifyOptions,
): Promise<readonly Verified[]> {
  const verified: Verified[] = [];
  for (const { model, file } of subjects) {
    try {
      const report = await verifyFinished(model, { gradient, allowPartial: allowPartial === true });
      verified.push({ file, report });
    } catch (error) {
      throw error instanceof OnnxAgrError ? error.inFile(file === null ? input : `${input}/${file}`) : error;
    }
  }
  if (verified.length > 0) return verified;
  throw new PassError("E_NO_AGR", "there is no AGR to verify", { file: input });
}

const MARKS = new Map<boolean | null, string>([
  [true, "ok"],
  [false, "FAILED"],
  [null, "not checked"],
]);

function linesOf({ file, report }: Verified): readonly string[] {
  const lines = report.checks.map(({ check, passed, detail }) => `${MARKS.get(passed)}: ${check}: ${detail}`);
  return file === null ? lines : [`${file}:`, ...lines.map((line) => `  ${line}`)];
}

/** A predicate of in-toto's test results: which checks passed, failed, or could not be made (warned). */
async function testResult(passed: boolean, options: object, models: readonly Verified[]): Promise<object> {
  const named = (wanted: boolean | null): readonly string[] =>
    models.flatMap(({ file, report }) =>
      report.checks
        .filter((each) => each.passed === wanted)
        .map(({ check }) => (file === null ? check : `${file}: ${check}`)),
    );
  const warned = named(null);
  return {
    result: passed ? (warned.length === 0 ? "PASSED" : "WARNED") : "FAILED",
    configuration: [{ name: "onnx-agr", uri: packageUrl(), annotations: { options, versions: await versions() } }],
    passedTests: named(true),
    warnedTests: warned,
    failedTests: named(false),
    results: models.map(({ file, report }) => ({ file, ...report })),
  };
}
