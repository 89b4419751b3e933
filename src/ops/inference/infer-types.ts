import type { Model } from "../../graph/model.ts";
import { TypeInference } from "./inference.ts";

/** Types of all values of a model's graph, as far as they can be told. */
export function inferTypes(model: Model): TypeInference {
  const types = new TypeInference(model.opset);
  types.graph(model.graph);
  return types;
}
