/** Writes the table of docs/forms.md: what `insert` makes of every step of the corpus. Ends with 1 where one is wrong. */
import { readFileSync, writeFileSync } from "node:fs";
import { CORPUS, corpusTable, verdictOf, withTable } from "../tests/support/step-corpus.ts";

const file = new URL("../docs/forms.md", import.meta.url);
const verdicts = new Map<(typeof CORPUS)[number], string>();
for (const step of CORPUS) verdicts.set(step, await verdictOf(step));
writeFileSync(file, withTable(readFileSync(file, "utf8"), corpusTable(verdicts)));
if ([...verdicts.values()].some((verdict) => verdict.startsWith("wrong"))) process.exitCode = 1;
