/**
 * Writes docs/operators.md: every gradient rule and every lowering, with where it is tested.
 *
 *     npm run docs
 */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { GRADIENT_RULES } from "../src/autodiff/table.ts";
import { COMPOUNDS } from "../src/passes/decompose/table.ts";
import { LOWERINGS } from "../src/passes/lower-training-ops/table.ts";

interface Case {
  readonly op: string;
  readonly domain: string;
  readonly title: string;
  readonly opset: number;
}

const FILE = fileURLToPath(new URL("../docs/operators.md", import.meta.url));
const FOLDER = new URL("../tests/autodiff/pytorch/", import.meta.url);
const CASES = readdirSync(FOLDER)
  .toSorted()
  .flatMap((name) => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")) as readonly Case[]);

const nameOf = ({ op, domain }: Case): string => (domain === "" ? op : `${domain}.${op}`);

function casesOf(op: string): { readonly opsets: string; readonly titles: string } {
  const cases = CASES.filter((each) => nameOf(each) === op);
  const opsets = [...new Set(cases.map(({ opset }) => opset))].sort((a, b) => a - b).join(", ");
  const titles = cases.flatMap(({ title }) => (title === "" ? [] : [title])).join("; ");
  const count = cases.length === 0 ? "" : `${cases.length}${titles === "" ? "" : `: ${titles}`}`;
  return { opsets: opsets || "in whole models", titles: count };
}

function gradientRows(): readonly string[] {
  return [...GRADIENT_RULES]
    .filter(([, rule]) => rule !== "zero")
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([op, rule]) => {
      const { opsets, titles } = casesOf(op);
      const kind = rule !== "zero" && rule.broadcasts === true ? "summed where inputs are broadcast" : "";
      return `| \`${op}\` | ${opsets} | ${kind} | ${titles} |`;
    });
}

function compoundRows(): readonly string[] {
  return COMPOUNDS.map(({ domain, op }) => nameOf({ op, domain, title: "", opset: 0 }))
    .sort()
    .map((op) => `| \`${op}\` | ${casesOf(op).titles} |`);
}

/** The text of docs/operators.md. */
export function operatorsDocument(): string {
  const flat = [...GRADIENT_RULES]
    .filter(([, rule]) => rule === "zero")
    .map(([op]) => `\`${op}\``)
    .sort();
  const lowered = LOWERINGS.map(
    ({ op, domain = "com.microsoft" }) => `\`${domain === "" ? "" : `${domain}.`}${op}\``,
  ).sort();
  return `# Operators

Made by \`npm run docs\` from the tables themselves; a test compares.

## Gradients

\`build\` and \`gradcheck\` go back through these. Every case is compared with PyTorch in float64 (relative difference below 1e-4 in float32), with static
and with symbolic shapes, and with central differences in float64 (below 1e-5) where onnxruntime-node has the float64 kernels. Model-local functions are put in
first. An operator that is not here only matters where it lies between the loss and a parameter.

| operator | opsets tested | rule | cases |
|---|---|---|---|
${gradientRows().join("\n")}

Through these no gradient passes, because they are flat or make no number of their inputs: ${flat.join(", ")}.

## Operators that are made of others

These are written in their parts before the gradient is taken, and those of com.microsoft by \`lower\` too. Each case is compared with ONNX Runtime's kernel, where it has one for the CPU, and
with PyTorch, values and gradients. An attribute or input that is not known is refused by name.

| operator | cases |
|---|---|
${compoundRows().join("\n")}

## Lowering

These operators of ONNX Runtime's training builds are rewritten in standard ones by \`lower\`, and in memory by \`train\`. Each is compared with the training
build's own kernel, or with PyTorch where it has none for the CPU: ${lowered.join(", ")}.
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(FILE, operatorsDocument());
