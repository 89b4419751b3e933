/** What the proof of `insert` costs: a step of some million parameters, AdamW in plain operators. */
import { LAYERS, makeLargeStep } from "../fixtures/large-step.ts";
import { proveGradients } from "../src/index.ts";
import { table } from "./table.ts";

export async function benchProof({ parameters }: { readonly parameters: number }): Promise<unknown> {
  const rows: { readonly parameters: number; readonly seconds: number; readonly precision: string }[] = [];
  for (const size of [parameters / 100, parameters]) {
    const step = makeLargeStep(size);
    const begin = performance.now();
    const proof = await proveGradients(step);
    if (proof?.parameters.length !== LAYERS) throw new Error(`not proven: ${proof?.reason ?? "no step"}`);
    rows.push({
      parameters: size,
      seconds: (performance.now() - begin) / 1000,
      precision: proof.precision ?? "",
    });
  }
  console.error(table(rows));
  return rows;
}
