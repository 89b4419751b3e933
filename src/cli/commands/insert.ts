import { type Command, Option } from "commander";
import { decodeModel, encodeModel } from "../../entries/graph.ts";
import {
  INSERT_AGR_DEFAULTS,
  type InsertAgrReport,
  type InsertProvenOptions,
  insertProven,
  type Model,
  PassError,
  stripAgr,
  trainableParameters,
  type Verification,
  verifyInsertion,
} from "../../index.ts";
import {
  checkAttestation,
  digestsOf,
  provenance,
  type ResourceDescriptor,
  statement,
  writeAttestation,
} from "../attestation.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { collect, nonNegative, wholeNumber } from "../values.ts";
import { type RewriteOptions, rewrite, rewriteCommand, type Subject } from "./rewrite.ts";

interface InsertOptions
  extends RewriteOptions,
    Required<
      Omit<
        InsertProvenOptions,
        "form" | "parameters" | "count" | "reported" | "trainable" | "at" | "allowPartial" | "transforms" | "cautious"
      >
    > {
  readonly form?: "function" | "inline";
  readonly count?: number;
  readonly select: readonly string[];
  readonly transform?: readonly string[];
  readonly reported?: "raw" | "regularized";
  readonly at?: "raw" | "transformed";
  readonly allowPartial?: boolean;
  readonly cautious?: boolean;
  readonly verify?: boolean;
  readonly failIfPresent?: boolean;
  readonly attest?: string;
}

export function insertCommand(io: Io): Command {
  const defaults = INSERT_AGR_DEFAULTS;
  return rewriteCommand("insert", "Put AGR before the optimizer of exported training artifacts")
    .addOption(
      new Option("--scope <scope>", "over what |g| is summed")
        .choices(["tensor", "channel", "global"])
        .default(defaults.scope),
    )
    .option("--strength <number>", "1 is the paper, 0 changes nothing", nonNegative, defaults.strength)
    .option(
      "--transform <list>",
      "what is done to the gradients there, in this order: clip-norm:<x>, clip-value:<x>, centralize, agc[:<x>], normalize, agr (default: agr alone)",
      (text: string) => text.split(",").map((each) => each.trim()),
    )
    .option(
      "--min-elements <n>",
      "leave gradients alone whose sum has fewer elements",
      wholeNumber(1),
      defaults.minElements,
    )
    .option(
      "--min-rank <n>",
      "leave parameters of lower rank alone; 2 leaves out biases and norm scales",
      wholeNumber(0),
      defaults.minRank,
    )
    .option("--include <glob>", "only parameters with these names; repeatable", collect, defaults.include)
    .option("--exclude <glob>", "no parameters with these names; repeatable", collect, defaults.exclude)
    .addOption(
      new Option(
        "--form <form>",
        "one AGR function node per gradient, or primitive operators (default: function from IR 8 on)",
      ).choices(["function", "inline"]),
    )
    .option("--count <n>", "number of trainable parameters, for an optimizer model alone", wholeNumber(1))
    .option("--select <name>", "an optimizer node to take, where there are several; repeatable", collect, [])
    .option(
      "--state <input=output>",
      "plain train steps: the output that renews a state input; repeatable",
      collect,
      [],
    )
    .option(
      "--gradient <tensor=parameter>",
      "plain train steps: the tensor that is a parameter's gradient; repeatable",
      collect,
      [],
    )
    .addOption(
      new Option(
        "--reported <which>",
        "plain train steps: gradients that are outputs for the user too (default: raw)",
      ).choices(["raw", "regularized"]),
    )
    .option("--no-proof", "plain train steps: do not compare the gradients with the derivative of the loss")
    .addOption(
      new Option(
        "--at <where>",
        "plain train steps: before what clips or centralizes a gradient, or on what the optimizer reads (default: transformed)",
      ).choices(["raw", "transformed"]),
    )
    .option(
      "--cautious",
      "plain train steps: leave out of updates what points against the gradient (arXiv 2411.16085), of parameters that AGR reaches",
    )
    .option("--allow-partial", "leave parameters whose gradient is not known without AGR")
    .option(
      "--verify",
      "run it in onnxruntime-node before it is written: the gradients against the formula, and with strength 0",
    )
    .option("--fail-if-present", "exit with 4 where AGR is there already")
    .option("--attest <file>", "write an in-toto statement of what went in, what was done, and what came out")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr insert artifacts -o artifacts-agr
  onnx-agr insert optimizer_model.onnx -o optimizer_agr.onnx --min-rank 2
  onnx-agr insert artifacts --in-place --include "*.weight" --strength 0.5`,
    )
    .action(async (input: string, options: InsertOptions, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      const change = (subjects: readonly Subject[]) => insertAll(input, subjects, options, console);
      if (options.attest !== undefined) await checkAttestation(input, options.output ?? input, options);
      const before = options.attest === undefined ? [] : await digestsOf(input);
      const { reports, output, subjects } = await rewrite(input, options, change, console);
      const [report] = reports;
      const files = subjects.flatMap(({ file }) => (file === null ? [] : [file]));
      for (const note of new Set(reports.flatMap(({ notes }) => notes))) console.note(note);
      if (output === "-") return;
      if (options.attest !== undefined && output !== null)
        await writeAttestation(options.attest, await insertion(before, output, options, reports));
      const models =
        files.length === 0 ? {} : { models: reports.map((each, index) => ({ file: files[index], ...each })) };
      console.result(
        { command: "insert", input, output, ...report, ...models },
        describeReport(report, files.slice(1), output),
      );
    });
}

/** What `--attest` says of an insertion. */
async function insertion(
  before: readonly ResourceDescriptor[],
  output: string,
  { attest: _, output: __, inPlace: ___, force: ____, ...options }: InsertOptions,
  reports: readonly Inserted[],
): Promise<object> {
  return statement(
    await digestsOf(output),
    "https://slsa.dev/provenance/v1",
    await provenance("insert", before, options, reports),
  );
}

type Inserted = InsertAgrReport & { readonly verification?: Verification };

/** Puts AGR into all models alike. @throws PassError `E_SELECTION` where one cannot be treated as the others */
async function insertAll(
  input: string,
  subjects: readonly Subject[],
  options: InsertOptions,
  console: Console,
): Promise<readonly Inserted[]> {
  const reports: Inserted[] = [];
  for (const { model, file, artifacts } of subjects) {
    const before = options.verify === true ? decodeModel(encodeModel(model)) : null;
    const parameters = artifacts === null ? null : trainableParameters(artifacts);
    const settings = { ...agrOptions(options), ...(parameters === null ? {} : { parameters }) };
    const { report, options: settled } = await insertProven(model, settings);
    requireAlike(reports[0], report, subjects[0]?.file, file);
    if (before === null) {
      reports.push(report);
      continue;
    }
    const verification = await verifyInsertion(withoutAgr(before), model, settled);
    for (const line of describeVerification(verification, file)) console.note(line);
    reports.push({ ...report, verification });
  }
  if (options.failIfPresent === true && reports.every(({ changed }) => changed === 0)) {
    throw new PassError("E_AGR_PRESENT", "AGR is there already, with these options", { file: input });
  }
  return reports;
}

function requireAlike(
  first: InsertAgrReport | undefined,
  report: InsertAgrReport,
  firstFile: string | null | undefined,
  file: string | null,
): void {
  const reached = (each: InsertAgrReport): string | null => each.reached?.toSorted().join(", ") ?? null;
  if (first === undefined || reached(first) === null || reached(report) === null) return;
  if (reached(first) === reached(report)) return;
  throw new PassError(
    "E_SELECTION",
    `AGR would reach ${reached(first)} in ${firstFile}, and ${reached(report)} in ${file}`,
    { field: file ?? "", hint: "Select the parameters with --include, --exclude or --min-rank." },
  );
}

function withoutAgr(model: Model): Model {
  stripAgr(model);
  return model;
}

function describeVerification(
  { seed, edges, edgesReason, identicalAtStrengthZero, wholeGraphReason }: Verification,
  file: string | null,
): readonly string[] {
  const worst = Math.max(...(edges ?? []).map(({ error }) => error));
  return [
    `${file === null ? "" : `${file}: `}verified in onnxruntime-node on random inputs (seed ${seed}):`,
    edges === null
      ? `  gradients: not run: ${edgesReason}`
      : `  gradients: ${edges.length} edges, what the optimizer reads is the formula to within ${worst.toExponential(1)} of the largest entry`,
    identicalAtStrengthZero === null
      ? `  whole graph: not run: ${wholeGraphReason}`
      : "  whole graph: with strength 0 every output is bit-identical",
  ];
}

function agrOptions(options: InsertOptions): InsertProvenOptions {
  const { scope, strength, minElements, minRank, include, exclude, state, gradient, form, count, select, reported } =
    options;
  const { proof, at, allowPartial, cautious } = options;
  return {
    proof,
    ...(at === undefined ? {} : { at }),
    ...(allowPartial === undefined ? {} : { allowPartial }),
    ...(cautious === undefined ? {} : { cautious }),
    scope,
    strength,
    minElements,
    minRank,
    include,
    exclude,
    state,
    gradient,
    ...(reported === undefined ? {} : { reported }),
    ...(form === undefined ? {} : { form }),
    ...(count === undefined ? {} : { count }),
    ...(options.transform === undefined ? {} : { transforms: options.transform }),
    ...(select.length === 0 ? {} : { select }),
  };
}

function describeReport(report: InsertAgrReport, others: readonly string[], output: string | null): readonly string[] {
  const how =
    report.structure === "map"
      ? "one SequenceMap over all gradients"
      : `one ${report.form === "function" ? "AGR node" : "inline AGR"} per gradient`;
  return [
    `${report.optimizer} (${report.dialect}): ${how}, scope ${report.options.scope}, strength ${report.options.strength}`,
    ...report.edges.map(({ from, to, mask }) => `  ${mask === true ? "masked: " : ""}${from} -> ${to}`),
    ...(report.reached === null ? [] : [`  regularized: ${report.reached.join(", ")}`]),
    ...report.skipped.map(({ at, reason }) => `  left alone: ${at} (${reason})`),
    ...(others.length === 0 ? [] : [`  the same in ${others.join(", ")}`]),
    output === null ? "nothing written (--dry-run)" : `written to ${output}`,
  ];
}
