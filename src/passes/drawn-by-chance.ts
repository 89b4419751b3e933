import { isRandom } from "../autodiff/repeatable.ts";
import { PassError } from "../errors.ts";
import { describeNode, type Graph, type Value } from "../graph/graph.ts";
import { type Model, valuesReadBy, walkGraphs } from "../graph/model.ts";

/**
 * Two runs of a model that draws numbers are not the same, and say nothing by their difference.
 * @param forward the model as it was given, with all its outputs
 * @throws PassError `E_RANDOM` where the loss of a training graph depends on what a node draws
 */
export function requireNothingDrawn(training: Model, forward: Model): void {
  const drawn = [...walkGraphs(training.graph)].flatMap((graph) => graph.nodes).find(isRandom);
  if (drawn === undefined) return;
  const behind = drawnIn(forward.graph);
  const others = forward.graph.outputs.filter((output) => output.producer !== null && !behind.has(output));
  const names = others.map(({ name }) => name).join(", ");
  throw new PassError("E_RANDOM", `the loss depends on ${describeNode(drawn)}, which draws by chance`, {
    field: drawn.name,
    hint:
      names === ""
        ? "Compute the loss from a tensor before it: --loss-output <name> (loss.output)."
        : `Compute the loss from an output or tensor before it: --loss-output <name> (loss.output). Free of chance are: ${names}.`,
  });
}

/** The values behind nodes that draw. */
function drawnIn(graph: Graph): ReadonlySet<Value> {
  const drawn = new Set<Value>();
  for (const node of graph) {
    if (!isRandom(node) && !valuesReadBy(node).some((value) => drawn.has(value))) continue;
    for (const output of node.outputs) if (output !== null) drawn.add(output);
  }
  return drawn;
}
