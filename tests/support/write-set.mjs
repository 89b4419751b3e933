/** Writes the set of the folder that the first argument names into the second, in the place of what is there. */

import { readTrainingSet, writeTrainingSet } from "../../dist/index.js";

const [from, to] = process.argv.slice(2);
try {
  await writeTrainingSet(to, await readTrainingSet(from), { replace: true });
} catch (error) {
  process.stdout.write(`${error.code} ${error.message}\n`);
  process.exit(error.exitCode ?? 1);
}
