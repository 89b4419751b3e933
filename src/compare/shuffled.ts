import type { PortableArtifacts } from "../artifacts/portable/portable-artifacts.ts";
import { sha256 } from "../graph/io/digest.ts";
import { Tensor } from "../graph/tensor.ts";
import { permutation } from "../runtime/random.ts";

/**
 * The set with the numbers of some tensors in another order, which depends on the seed and the tensor's name alone.
 * @param names of the tensors
 */
export function shuffled(set: PortableArtifacts, names: readonly string[], seed: number): PortableArtifacts {
  if (set.state === null) return set;
  const tensors = new Map(set.state.tensors);
  for (const name of names) {
    const tensor = tensors.get(name);
    if (tensor !== undefined) tensors.set(name, reordered(tensor, seedOf(name, seed)));
  }
  return { ...set, state: { ...set.state, tensors } };
}

function reordered(tensor: Tensor, seed: number): Tensor {
  const values = tensor.values();
  const next = values.slice();
  for (const [to, from] of permutation(values.length, seed, 0).entries()) {
    const value = values[from];
    if (value !== undefined) next[to] = value;
  }
  return Tensor.from(tensor.dtype, tensor.dims, next);
}

const seedOf = (name: string, seed: number): number =>
  Number.parseInt(sha256(new TextEncoder().encode(`${seed} ${name}`)).slice(0, 8), 16);
