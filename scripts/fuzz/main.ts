/**
 * Attacks the readers and passes with damaged inputs: cuts, flipped bits, random bytes, and files that
 * are well encoded and make no sense. An error of ours is a right answer; anything else is saved, with the command that repeats it.
 *
 *     npm run fuzz -- --minutes 10 --seed 1
 *     npm run fuzz -- --every --only checkpoint     every cut and every flip of one seed
 *     npm run fuzz -- --input fuzz-finds/model-1-2345.bin
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { Child } from "./child.ts";
import { mutate } from "./mutate.ts";
import type { Kind } from "./operations.ts";
import { Random } from "./random.ts";
import { makeSeeds, type Seed } from "./seeds.ts";

const LIMITS = { milliseconds: 2000, megabytes: 500 };
/** On a busy machine a process may wait for longer than it works: what takes too long is tried again, alone and patiently. */
const PATIENT = { ...LIMITS, milliseconds: 5 * LIMITS.milliseconds };

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    every: { type: "boolean", default: false },
    input: { type: "string" },
    save: { type: "string", default: "fuzz-finds" },
  },
});

interface Input {
  readonly of: Seed;
  readonly bytes: Uint8Array;
}

/** Without end, and the same for the same seed. */
function* byChance(seeds: readonly Seed[], seed: number): Generator<Input> {
  for (let index = 0; ; index++) {
    const random = new Random(seed, index);
    const of = random.of(seeds);
    yield { of, bytes: mutate(of, random) };
  }
}

/** Every beginning of each seed, and each seed with any one bit flipped. */
function* everyCutAndFlip(seeds: readonly Seed[]): Generator<Input> {
  for (const of of seeds) {
    for (let length = 0; length < of.bytes.length; length++) yield { of, bytes: of.bytes.subarray(0, length) };
    for (let bit = 0; bit < 8 * of.bytes.length; bit++) {
      const bytes = Uint8Array.from(of.bytes);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      yield { of, bytes };
    }
  }
}

async function repeat(file: string): Promise<number> {
  const child = new Child(PATIENT);
  const reason = await child.attack(basename(file).split("-")[0] as Kind, new Uint8Array(readFileSync(file)));
  child.stop();
  console.log(reason ?? "as it should be");
  return reason === null ? 0 : 1;
}

async function search(): Promise<number> {
  const seed = Number(values.seed);
  const seeds = (await makeSeeds()).filter(({ kind, name }) => !values.only || `${kind} ${name}`.includes(values.only));
  const end = performance.now() + Number(values.minutes) * 60_000;
  const [child, patient] = [new Child(LIMITS), new Child(PATIENT)];
  const seen = new Set<string>();
  let index = 0;
  for (const { of, bytes } of values.every ? everyCutAndFlip(seeds) : byChance(seeds, seed)) {
    if (performance.now() >= end) break;
    index++;
    let reason = await child.attack(of.kind, bytes);
    if (reason?.startsWith("no answer")) reason = await patient.attack(of.kind, bytes);
    if (reason === null) continue;
    const place = placeOf(reason);
    if (seen.has(place)) continue;
    seen.add(place);
    mkdirSync(values.save, { recursive: true });
    const file = join(values.save, `${of.kind}-${seed}-${index}.bin`);
    writeFileSync(file, bytes);
    console.error(`${of.name}: ${reason}\n  repeat: npm run fuzz -- --input ${file}\n`);
  }
  child.stop();
  patient.stop();
  console.log(`${index} inputs with seed ${seed}, ${seen.size} finds`);
  return seen.size === 0 ? 0 : 1;
}

/** Finds at the same place of the code are one. */
function placeOf(reason: string): string {
  const frames = reason.split("\n").filter((line) => line.includes("/src/"));
  return frames.length > 0 ? frames.slice(0, 2).join() : reason;
}

process.exitCode = await (values.input === undefined ? search() : repeat(values.input));
