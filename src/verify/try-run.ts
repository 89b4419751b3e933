import type { Tensor } from "onnxruntime-common";
import type { InsertAgrOptions } from "../passes/insert-agr/options.ts";
import type { OrtModule } from "../runtime/ort-node/load.ts";
import type { NamedTensors } from "../runtime/session.ts";
import { NO_LOG } from "../runtime/session-options.ts";

/** What keeps AGR's formula from being all that stands at an edge. */
export function othersOf({ transforms = [] }: InsertAgrOptions): string | null {
  const others = transforms.filter((each) => each !== "agr");
  return others.length === 0 ? null : `${others.join(", ")} stand beside AGR, and change the gradients too`;
}

/** The outputs, or why the model does not run. */
export async function tryRun(
  ort: OrtModule,
  model: Uint8Array,
  feeds: NamedTensors,
  options: Readonly<Record<string, unknown>> = NO_LOG,
): Promise<Readonly<Record<string, Tensor>> | string> {
  try {
    const session = await ort.InferenceSession.create(model, options);
    const results = await session.run(feeds);
    await session.release();
    return results;
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return `onnxruntime-node does not run it: ${line.slice(0, 200)}`;
  }
}
