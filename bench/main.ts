/**
 * The benchmarks. Every figure that matters is a ratio of times of one run; a table goes to stderr, JSON to stdout.
 *
 *     npm run bench [-- <name>...] [--rounds <n>] [--shared <folder>] [--models <folder>] [--megabytes <n>] [--images <n>]
 */

import { parseArgs } from "node:util";
import { benchData } from "./data.ts";
import { benchGradients } from "./gradients.ts";
import { benchLarge } from "./large.ts";
import { benchModelFile } from "./model-file.ts";
import { benchProof } from "./proof.ts";
import { benchRace } from "./race.ts";
import { benchRanks } from "./ranks.ts";
import { benchScale } from "./scale.ts";
import { benchSmallConvolutions } from "./small-convolutions.ts";
import { benchTraining } from "./training.ts";
import { benchWeightGradients } from "./weight-gradients.ts";
import { benchWinograd } from "./winograd.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "7" },
    shared: { type: "string" },
    models: { type: "string" },
    megabytes: { type: "string", default: "1024" },
    images: { type: "string", default: "200000" },
  },
});

const options = {
  rounds: Number(values.rounds),
  shared: values.shared ?? null,
  models: values.models ?? null,
  megabytes: Number(values.megabytes),
  images: Number(values.images),
};

const BENCHMARKS: Readonly<Record<string, (given: typeof options) => Promise<unknown>>> = {
  training: benchTraining,
  data: benchData,
  race: benchRace,
  gradients: benchGradients,
  "model-file": benchModelFile,
  scale: benchScale,
  large: benchLarge,
  ranks: benchRanks,
  "weight-gradients": benchWeightGradients,
  winograd: benchWinograd,
  "small-convolutions": benchSmallConvolutions,
  proof: () => benchProof({ parameters: 1e8 }),
};

const names = positionals.length === 0 ? Object.keys(BENCHMARKS) : positionals;
const unknown = names.find((name) => !(name in BENCHMARKS));
if (unknown !== undefined)
  throw new Error(`there is no benchmark "${unknown}"; there is ${Object.keys(BENCHMARKS).join(", ")}`);
const results: Record<string, unknown> = {};
for (const name of names) results[name] = await BENCHMARKS[name]?.(options);
console.log(JSON.stringify(results, null, 2));
