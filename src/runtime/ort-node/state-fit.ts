import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import type { TrainingState } from "../../artifacts/portable/state.ts";
import { CheckpointError } from "../../errors.ts";

/** Differences that one error lists at most. */
const LISTED = 10;

/** Checks that a state has what the models' state inputs take; the shapes of a nominal state are not known. */
export function requireFit(
  names: readonly string[],
  specs: ReadonlyMap<string, InputSpec>,
  state: TrainingState,
): void {
  const differences = names.flatMap((name) => differenceOf(name, specs.get(name), state));
  if (differences.length === 0) return;
  const more = differences.length > LISTED ? `; and ${differences.length - LISTED} more` : "";
  throw new CheckpointError(
    "E_CHECKPOINT_MISMATCH",
    `the state does not fit the models: ${differences.slice(0, LISTED).join("; ")}${more}`,
    { hint: "Use the checkpoint or state that was made with these models." },
  );
}

function differenceOf(
  name: string,
  spec: InputSpec | undefined,
  { tensors, nominal }: TrainingState,
): readonly string[] {
  const tensor = tensors.get(name);
  if (tensor === undefined) return [`"${name}" is missing`];
  if (spec === undefined) return [];
  if (tensor.dtype !== spec.dtype) return [`"${name}" has another element type`];
  const { shape } = spec;
  if (nominal || shape === null) return [];
  const fits =
    shape.length === tensor.dims.length &&
    shape.every((dim, axis) => typeof dim !== "number" || dim === tensor.dims[axis]);
  return fits ? [] : [`"${name}" has shape [${tensor.dims.join(",")}], the model takes [${shape.join(",")}]`];
}
