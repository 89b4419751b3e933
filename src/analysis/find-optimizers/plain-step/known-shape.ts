import type { Value } from "../../../graph/graph.ts";

export function knownShape({ type }: Value): readonly number[] | null {
  return type?.kind === "tensor" && type.shape?.every((dim) => typeof dim === "number") ? type.shape : null;
}
