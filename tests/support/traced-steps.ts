import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decodeModel, encodeModel } from "../../src/entries/graph.ts";
import { insertProven, OnnxAgrError } from "../../src/index.ts";
import { wrongOutputs } from "./field-steps.ts";

/** Train steps that PyTorch's tracer wrote, with AGR by hand in float64: scripts/reference/traced-steps. */
export const TRACED_STEPS = fileURLToPath(new URL("../../fixtures/traced-steps/", import.meta.url));

export const TRACED_NAMES = readdirSync(TRACED_STEPS)
  .filter((name) => name.endsWith(".onnx"))
  .map((name) => name.slice(0, -5))
  .toSorted();

/** Steps whose loss is not what they train, as far as the graph tells. */
export const TRACED_REFUSED: ReadonlySet<string> = new Set([
  "advantage_detached_in_one_loss",
  "gan_losses_added_up",
  "preconditioned_by_activations",
  "semi_gradient_td",
  "simsiam_stop_gradient",
  "smoothing_trained_but_not_told",
  "spectral_norm_power_iteration",
  "two_batches_one_loss_told",
]);

/** What `insert` makes of a step: right, wrong with the outputs, or refused with the gradients that its hint names. */
export async function tracedVerdict(
  name: string,
  gradient: readonly string[] = [],
): Promise<string | readonly string[]> {
  const model = decodeModel(readFileSync(`${TRACED_STEPS}${name}.onnx`));
  try {
    await insertProven(model, { gradient });
  } catch (error) {
    if (!(error instanceof OnnxAgrError) || error.code !== "E_NOT_GRADIENT") throw error;
    return [...(error.hint ?? "").matchAll(/--gradient (\S+=[\w.]*\w)/g)].flatMap(([, flag]) => flag ?? []);
  }
  const wrong = await wrongOutputs(`${TRACED_STEPS}${name}`, encodeModel(model));
  return wrong.length === 0 ? "right" : `wrong: ${wrong.map(({ output }) => output).join(", ")}`;
}

/** The paragraph of docs/forms.md about them. */
export function tracedText(): string {
  const named = (isRefused: boolean): string =>
    TRACED_NAMES.filter((name) => TRACED_REFUSED.has(name) === isRefused)
      .map((name) => name.replaceAll("_", " "))
      .join(", ");
  const refused = TRACED_NAMES.filter((name) => TRACED_REFUSED.has(name)).length;
  return [
    `Right, ${TRACED_NAMES.length - refused}: ${named(false)}.`,
    `Refused with the reason, and right with the flags that the refusal prints, ${refused}: ${named(true)}.`,
  ].join("\n\n");
}
