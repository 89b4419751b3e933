import { namesMetadata } from "../../edits/json-metadata.ts";
import { AGR_RECORD, originalOf, readRecord } from "../../edits/record.ts";
import { GraphError } from "../../errors.ts";
import { isGradientType } from "../../graph/data-type.ts";
import { Node, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { Dialect, Found, GradientEdge } from "./site.ts";

/** Metadata entry of a portable step: a JSON object `{"tensor": "parameter"}` of the gradients its optimizer reads. */
export const GRADIENTS_METADATA = "onnx-agr.gradients";

const NAME = "portable";

/** Steps in standard operators that this package wrote: their metadata name the gradients. */
export const portable: Dialect = {
  name: NAME,
  looksFor: `a step with the metadata entry "${GRADIENTS_METADATA}", as onnx-agr lower writes it`,
  find(model: Model): Found {
    const named = namesMetadata(model, GRADIENTS_METADATA);
    if (named === null) return { sites: [], refusals: [] };
    const { graph } = model;
    const values = new Map(
      [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)].flatMap((value) =>
        value === null ? [] : [[value.name, value] as const],
      ),
    );
    const moved = new Map(readRecord(model, AGR_RECORD)?.edges.map(({ from, to }) => [from, to]));
    const edges = [...named].map(([tensor, name]): GradientEdge => {
      const read = values.get(moved.get(tensor) ?? tensor);
      const parameter = values.get(name);
      const type = parameter?.type?.kind === "tensor" ? parameter.type : null;
      if (read === undefined || type === null || !isGradientType(type.dtype)) {
        throw new GraphError("E_RECORD", `the gradient "${tensor}" of "${name}" is not in the graph`, {
          field: `metadata_props.${GRADIENTS_METADATA}`,
          hint: "The graph was changed after it was written; lower the artifacts again.",
        });
      }
      const shape = type.shape?.every((dim) => typeof dim === "number") ? type.shape : null;
      return {
        value: originalOf(model, AGR_RECORD, read),
        uses: read.uses.filter(({ user }) => user instanceof Node),
        kind: "tensor",
        dtype: type.dtype,
        parameter: { name, shape },
      };
    });
    const learningRate = rateReader(graph.inputs.find(({ name }) => name === "learning_rate"));
    const site = { dialect: NAME, graph, name: graph.name, optimizer: "standard operators", edges, learningRate };
    return { sites: [site], refusals: [] };
  },
};

function rateReader(input: Value | undefined): { readonly node: Node; readonly input: number } | null {
  const [use, ...others] = input?.uses ?? [];
  return use !== undefined && others.length === 0 && use.user instanceof Node
    ? { node: use.user, input: use.index }
    : null;
}
