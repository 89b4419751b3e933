import type { Node } from "../graph/graph.ts";
import { subgraphsOf, walkGraphs } from "../graph/model.ts";
import { opTypes } from "../ops/operators/index.ts";
import type { Backward } from "./rule.ts";

const RANDOM = opTypes([
  "Bernoulli",
  "Multinomial",
  "RandomNormal",
  "RandomNormalLike",
  "RandomUniform",
  "RandomUniformLike",
]);

/** Whether a node gives other numbers each time it runs. */
export const isRandom = ({ opType, inputs }: Node): boolean =>
  RANDOM.has(opType) || (opType === "Dropout" && (inputs[2] ?? null) !== null);

/**
 * What a graph inside a node computed is computed again where its gradient is taken, which must give the same.
 * @throws GradientError `E_NO_GRADIENT` where something in it is drawn by chance
 */
export function requireRepeatable(b: Backward): void {
  const inner = subgraphsOf(b.node).flatMap((graph) => [...walkGraphs(graph)]);
  const random = inner.flatMap((graph) => graph.nodes).find(isRandom);
  if (random !== undefined) throw b.refuse(`inside it "${random.name}" (${random.opType}) draws by chance`);
}
