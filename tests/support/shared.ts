import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Reference data that may lie beside the repository: numbers of PyTorch and of ONNX Runtime's own training API. */
export const SHARED = fileURLToPath(new URL("../../../shared/data/", import.meta.url));
export const hasShared = existsSync(SHARED);
