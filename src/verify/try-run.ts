import type { Tensor } from "onnxruntime-common";
import type { InsertAgrOptions } from "../passes/insert-agr/options.ts";
import type { OrtModule } from "../runtime/ort-node/load.ts";
import { grantedThreads } from "../runtime/processors.ts";
import type { NamedTensors } from "../runtime/session.ts";
import { NO_LOG } from "../runtime/session-options.ts";

/** What keeps AGR's formula from being all that stands at an edge. */
export function othersOf({ transforms = [] }: InsertAgrOptions): string | null {
  const others = transforms.filter((each) => each !== "agr");
  return others.length === 0 ? null : `${others.join(", ")} stand beside AGR, and change the gradients too`;
}

/** Options of a session that runs something once. */
export const plainly = (): Readonly<Record<string, unknown>> => ({ ...NO_LOG, ...grantedThreads() });

/** The outputs, or why the model does not run. */
export async function tryRun(
  ort: OrtModule,
  model: Uint8Array,
  feeds: NamedTensors,
  options: Readonly<Record<string, unknown>> = {},
): Promise<Readonly<Record<string, Tensor>> | string> {
  try {
    const session = await ort.InferenceSession.create(model, { ...plainly(), ...options });
    const results = await session.run(feeds);
    await session.release();
    return results;
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return `onnxruntime-node does not run it: ${line.slice(0, 200)}`;
  }
}
