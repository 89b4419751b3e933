import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { PassError, requireOption } from "../errors.ts";
import { DataType } from "../graph/data-type.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { Tensor } from "../graph/tensor.ts";
import { nameMatcher } from "../ops/name-globs.ts";
import { NodeView } from "../ops/node-view.ts";

export const INITIALIZATIONS = ["he", "xavier", "zeros"] as const;
/**
 * `he`: uniform within sqrt(6 / fan in) (He et al. 2015, arXiv 1502.01852), `xavier`: within sqrt(6 / (fan in + fan out)) (Glorot
 * and Bengio 2010), as PyTorch's kaiming_uniform_ and xavier_uniform_.
 */
export type Initialization = (typeof INITIALIZATIONS)[number];

/** Parameters that begin anew. */
export interface InitializeOptions {
  /** Globs of the parameters' names. */
  readonly parameters: readonly string[];
  readonly kind: Initialization;
}

/**
 * Gives parameters of a forward model new values.
 * @param seed of the random values; each parameter has numbers of its own, whatever else is initialized
 * @returns the names, by kind
 * @throws PassError `E_NO_PARAMETERS` where nothing is named so, `E_INIT` for a parameter without a fan in; UsageError `E_OPTION`
 */
export function initialize(
  { initializers }: Graph,
  options: readonly InitializeOptions[],
  seed: number,
): readonly (readonly [name: string, kind: Initialization])[] {
  requireOption(Number.isSafeInteger(seed) && seed >= 0, "initSeed", "a whole number from 0 on");
  return options.flatMap(({ parameters, kind }) => {
    requireOption(INITIALIZATIONS.includes(kind), "initialize", `of ${INITIALIZATIONS.join(", ")}`);
    const matches = nameMatcher(parameters, "init");
    const found = initializers.filter(({ name, tensor }) => tensor?.dtype === DataType.float && matches(name));
    if (found.length === 0) {
      throw new PassError("E_NO_PARAMETERS", `no parameter is named like ${parameters.join(", ") || "nothing"}`, {
        field: "init",
      });
    }
    for (const value of found) value.tensor = initialValues(value, kind, seed);
    return found.map(({ name }) => [name, kind] as const);
  });
}

/** New values for a parameter, by what it is used for. @throws PassError `E_INIT` */
export function initialValues(value: Value, kind: Initialization, seed: number): Tensor {
  const dims = value.tensor?.dims ?? [];
  const size = dims.reduce((product, dim) => product * dim, 1);
  if (kind === "zeros") return Tensor.from(DataType.float, dims, new Float32Array(size));
  const { fanIn, fanOut } = fansOf(value);
  const bound = Math.sqrt(6 / (kind === "he" ? fanIn : fanIn + fanOut));
  const random = xoroshiro128plus(seedOf(value.name, seed));
  return Tensor.from(
    DataType.float,
    dims,
    Float32Array.from({ length: size }, () => (2 * uniformFloat32(random) - 1) * bound),
  );
}

/** A seed for each name: FNV-1a. */
function seedOf(name: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const code of new TextEncoder().encode(name)) hash = Math.imul(hash ^ code, 0x01000193);
  return hash >>> 0;
}

/** How many numbers one result is made of, and how many results one number goes into. */
function fansOf(value: Value): { readonly fanIn: number; readonly fanOut: number } {
  const dims = value.tensor?.dims ?? [];
  const [first = 1, second = 1, ...others] = dims;
  if (dims.length < 2) {
    throw new PassError("E_INIT", `"${value.name}" has ${dims.length} axes, and so no fan in`, {
      field: value.name,
      hint: `Name weights alone, or let it begin at zero: --init '${value.name}=zeros'.`,
    });
  }
  const window = others.reduce((product, dim) => product * dim, 1);
  return isInputFirst(value)
    ? { fanIn: first * window, fanOut: second * window }
    : { fanIn: second * window, fanOut: first * window };
}

/** MatMul and Gemm multiply by [in, out]; all else has [out, in, ...]. */
function isInputFirst(value: Value): boolean {
  return value.uses.some(({ user, index }) => isNode(user) && index === 1 && isPlainProduct(user));
}

const isPlainProduct = (node: Node): boolean =>
  node.domain === "" &&
  (node.opType === "MatMul" || (node.opType === "Gemm" && new NodeView(node).int("transB") === 0));

const isNode = (user: Node | Graph): user is Node => "opType" in user;
