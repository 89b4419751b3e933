import { loadNative, NATIVE_PROVIDERS } from "../ort-native/load.ts";
import type { WayName } from "../session.ts";
import { loadOrtNode, type OrtModule } from "./load.ts";

/** A way to ONNX Runtime. */
export interface Way {
  readonly name: WayName;
  /** Execution providers that it has; null: what the module has. */
  readonly providers: readonly string[] | null;
  /** @throws where it does not work here */
  readonly load: () => Promise<OrtModule>;
}

/** The variable of the environment that turns the C API off where it is "0". */
const SWITCH = "ONNX_AGR_NATIVE";

export const BINDING: Way = { name: "binding", providers: null, load: loadOrtNode };

/** The ways to onnxruntime-node's library, the preferred one first. */
export const WAYS: readonly Way[] = [
  {
    name: "native",
    providers: NATIVE_PROVIDERS,
    load: async () => {
      if (process.env[SWITCH] === "0") throw new Error(`${SWITCH}=0 turns it off`);
      return loadNative();
    },
  },
  BINDING,
];

/** The ways where the caller gave a module, which is then the only one. */
export function waysTo(ort: OrtModule | undefined): readonly Way[] {
  return ort === undefined ? WAYS : [{ name: "given", providers: null, load: async () => ort }];
}
