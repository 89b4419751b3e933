import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { decodeSafetensors } from "../../src/entries/training.ts";
import { command } from "./command.ts";
import { temporaryFolder } from "./temporary.ts";

export const FIXTURES = fileURLToPath(new URL("../../fixtures/mixed-precision", import.meta.url));
export const NETS = ["mlp", "conv", "transformer"] as const;
export type Net = (typeof NETS)[number];

interface Reference {
  readonly lr: string;
  readonly batch: string;
  readonly losses: Readonly<Record<"float64" | "float32" | "bfloat16", readonly number[]>>;
  readonly dynamic: { readonly losses: readonly number[]; readonly scales: readonly number[] } | null;
}

export function referenceOf(net: Net): Reference {
  const { metadata } = decodeSafetensors(readFileSync(join(FIXTURES, `${net}.safetensors`)));
  const read = (name: string): unknown => JSON.parse(metadata.get(name) ?? "null");
  const losses = read("losses") as Reference["losses"];
  const dynamic = read("dynamic") as Reference["dynamic"];
  return { lr: metadata.get("lr") ?? "", batch: metadata.get("batch") ?? "", losses, dynamic };
}

export interface Told {
  readonly type: string;
  readonly loss: number;
  readonly lossScale?: number;
  readonly skipped?: number;
}

export async function run(...args: readonly string[]) {
  const outcome = await command(args);
  expect([args[0], outcome.status, outcome.stderr]).toEqual([args[0], 0, expect.any(String)]);
  return outcome;
}

export async function built(path: string, more: readonly string[], loss = "cross-entropy", optimizer = "sgd") {
  const set = join(temporaryFolder(), "set");
  const { stderr } = await run(
    ...["build", path, "--loss", loss, "--optimizer", optimizer, "--set", "portable", ...more, "-o", set],
  );
  return { set, stderr };
}

export const told = (stdout: string): Told[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Told);

export const steps = (all: readonly Told[]): Told[] => all.filter(({ type }) => type === "step");

export async function trained(net: Net, build: readonly string[], more: readonly string[] = []) {
  const { lr, batch } = referenceOf(net);
  const { set, stderr } = await built(join(FIXTURES, `${net}.onnx`), build);
  const data = ["--data", join(FIXTURES, `${net}.safetensors`), "--batch-size", batch, "--no-shuffle", "--lr", lr];
  const { stdout } = await run("train", set, ...data, "--json", ...more);
  return { set, stderr, all: told(stdout), losses: steps(told(stdout)).map(({ loss }) => loss) };
}

/** The largest difference of two courses of the loss, relative to it. */
export const apart = (a: readonly number[], b: readonly number[]): number => {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((loss, step) => Math.abs(loss - (b[step] ?? Number.NaN)) / Math.abs(b[step] ?? 1)));
};

/** From 1 to the next number. */
export const EPSILON = { float16: 2 ** -10, bfloat16: 2 ** -7 };
