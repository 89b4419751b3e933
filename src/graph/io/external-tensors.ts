import { requireArgument } from "../../arguments.ts";
import { FormatError } from "../../errors.ts";
import { A_MODEL, type Model } from "../model.ts";
import { sources } from "../serde/sources.ts";
import { Tensor } from "../tensor.ts";
import { type TensorSite, tensorSites } from "../tensors.ts";

/** A tensor whose data lie in another file. */
export interface ExternalSite extends TensorSite {
  readonly at: Extract<Tensor["data"], { kind: "external" }>["at"];
}

export function externalSites(model: Model): ExternalSite[] {
  return [...tensorSites(model)].flatMap((site) => {
    const { data } = site.tensor;
    return data.kind === "external" ? [{ ...site, at: data.at }] : [];
  });
}

/** True where some tensor's data lie in another file. */
export function hasExternalData(model: Model): boolean {
  requireArgument("model", model, A_MODEL);
  return externalSites(model).length > 0;
}

/** The files that hold a model's external data, by their paths from the model. */
export function externalFiles(model: Model): readonly string[] {
  requireArgument("model", model, A_MODEL);
  return [...new Set(externalSites(model).map(({ at }) => at.location))].sort();
}

/**
 * Reads all external data of a model that came from `readModel` into it.
 * @throws FormatError `E_EXTERNAL_MISSING` of a model that was decoded from bytes; what `readModel` throws
 */
export async function readExternalTensors(model: Model): Promise<void> {
  requireArgument("model", model, A_MODEL);
  const origin = sources.origin.get(model);
  for (const { tensor, at, where, replace } of externalSites(model)) {
    if (origin === undefined) throw noOrigin(where);
    const bytes = await origin.read(tensor, at, where);
    replace(new Tensor(tensor.dtype, tensor.dims, { kind: "raw", bytes }));
  }
}

export function noOrigin(where: string): FormatError {
  return new FormatError(
    "E_EXTERNAL_MISSING",
    `tensor "${where}" has external data, but the model was decoded from bytes`,
    {
      field: where,
      hint: "Give the model's path (readModel) and not its bytes: the data are in its folder.",
    },
  );
}
