import { checkModel } from "../graph/check.ts";
import { checkStructure } from "../graph/check-structure.ts";
import { type Model, ONNX_DOMAIN } from "../graph/model.ts";
import { checkOperators } from "../ops/check-operators.ts";

/**
 * Checks all that can be told of a model without running it: its tensors, its graphs, and its nodes against the table of operators.
 * @throws as `checkModel`, `checkStructure` and `checkOperators`
 */
export function checkValidity(model: Model): void {
  checkModel(model);
  for (const graph of model.rootGraphs) checkStructure(graph);
  const bodies = new Map(model.functions.map(({ body, opsets }) => [body, opsets]));
  for (const graph of model.rootGraphs) {
    checkOperators(model, graph, (bodies.get(graph) ?? model.opsets).get(ONNX_DOMAIN) ?? 0);
  }
}
