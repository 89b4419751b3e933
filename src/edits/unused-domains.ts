import { type Model, ONNX_DOMAIN, walkGraphs } from "../graph/model.ts";

/** Imports no domains of which no node is; ONNX's own stays. */
export function dropUnusedDomains(model: Model): void {
  const used = new Set(
    model.rootGraphs
      .flatMap((root) => [...walkGraphs(root)])
      .flatMap((graph) => graph.nodes.map(({ domain }) => domain)),
  );
  for (const domain of [...model.opsets.keys()]) {
    if (domain !== ONNX_DOMAIN && !used.has(domain)) model.opsets.delete(domain);
  }
}
