/**
 * Runs an experiment, or goes on with it, and writes what came of it beside its configuration.
 *
 *     npm run experiment -- vgg
 *     npm run experiment -- vgg --dry-run
 *     npm run experiment -- repeat vgg
 *     npm run experiment -- samples
 *     npm run experiment -- alpha
 *     npm run experiment -- results
 *
 * What stands behind the name goes to `onnx-agr compare`. `repeat` trains one of the runs that were compared again, the first or that of the option set
 * and the seed that follow, and says whether each loss is the same.
 */

import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../src/cli/run.ts";
import { writeAlphas } from "./alpha.ts";
import { commitOfCode } from "./commit.ts";
import { hasFashion, prepareData } from "./data.ts";
import { prepareNoise } from "./diffusion.ts";
import { withResults } from "./outcome.ts";
import { writeResults } from "./results.ts";
import { drawSamples } from "./samples.ts";
import { hasText, prepareMasked, prepareOrder } from "./text.ts";
import { trainedAgain } from "./trained.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const [COMPARISON, CURVES] = ["comparison.json", "curves.svg"];
const CONFIG = "onnx-agr.config.yaml";

const names = readdirSync(HERE).filter((name) => existsSync(join(HERE, name, CONFIG)));
const [name = "", ...more] = process.argv.slice(2);
const [repeated = "", arm, seed] = more;

const IMAGES = {
  has: hasFashion,
  prepare: prepareData,
  missing: "Fashion-MNIST is not here: install Debian's dataset-fashion-mnist, or say where it is with FASHION_MNIST.",
};
const TEXT = {
  has: hasText,
  prepare: prepareMasked,
  missing: "There is no text: install Debian's fortunes, or say with FORTUNES which folder has files of text.",
};
const NOISE = { ...IMAGES, prepare: prepareNoise };
const ORDER = { ...TEXT, prepare: prepareOrder };
/** Where the samples of those come from that do not take images as they are. */
const SOURCES: Readonly<Record<string, typeof IMAGES>> = { albert: TEXT, order: ORDER, ddpm: NOISE };

/** What is made of experiments that were run. */
const AFTERWARDS: Readonly<Record<string, { readonly of: readonly (typeof IMAGES)[]; readonly make: () => unknown }>> =
  {
    repeat: { of: [SOURCES[repeated] ?? IMAGES], make: repeat },
    samples: { of: [NOISE], make: drawSamples },
    alpha: { of: [NOISE, TEXT, ORDER], make: writeAlphas },
    results: { of: [], make: writeResults },
  };

/** @throws Error where the losses are others */
async function repeat(): Promise<void> {
  const run = await trainedAgain(repeated, { arm, seed: seed === undefined ? undefined : Number(seed) });
  process.stdout.write(`${repeated}, ${run.arm}, seed ${run.seed}: the same losses in all ${run.steps} steps\n`);
}

async function main(): Promise<number> {
  const afterwards = AFTERWARDS[name];
  const isKnown =
    name === "repeat" ? withResults().includes(repeated) : afterwards !== undefined || names.includes(name);
  if (!isKnown) {
    const all = [...names, ...Object.keys(AFTERWARDS)];
    process.stderr.write(
      `Give the name of an experiment: ${all.join(", ")}. Behind "repeat": ${withResults().join(", ")}.\n`,
    );
    return 2;
  }
  for (const { has, prepare, missing } of afterwards?.of ?? [SOURCES[name] ?? IMAGES]) {
    if (!has()) {
      process.stderr.write(`${missing}\n`);
      return 5;
    }
    await prepare();
  }
  if (afterwards !== undefined) {
    await afterwards.make();
    return 0;
  }
  process.chdir(join(HERE, name));
  const status = await run(["compare", ...more], process);
  const isWhole = status === 0 && !more.includes("--dry-run") && existsSync(join("runs", COMPARISON));
  if (isWhole && name !== "smoke") keepResults();
  return status;
}

/** Copies what came of a comparison into this folder, and adds which code it was. */
function keepResults(): void {
  const comparison: object = JSON.parse(readFileSync(join("runs", COMPARISON), "utf8"));
  writeFileSync(COMPARISON, `${JSON.stringify({ ...comparison, commit: commitOfCode() }, null, 1)}\n`);
  cpSync(join("runs", CURVES), CURVES);
}

process.exitCode = await main();
