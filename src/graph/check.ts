import { OPTIONS, requireArgument } from "../arguments.ts";
import { FormatError, GraphError, PassError } from "../errors.ts";
import { dataTypeName, layoutOf } from "./data-type.ts";
import type { Graph, Node } from "./graph.ts";
import { A_MODEL, type GraphFunction, type Model, NEWEST_OPSET, normalizeDomain, walkGraphs } from "./model.ts";
import type { ReadOptions } from "./serde/decode.ts";
import { sources } from "./serde/sources.ts";
import { packedCount, type Tensor } from "./tensor.ts";
import { tensorSites } from "./tensors.ts";

/**
 * Checks what decoding alone does not: that every tensor has the bytes its shape and type ask for, that functions do not
 * call themselves, that opset imports are unambiguous and that training_info names what exists.
 * @throws FormatError `E_TENSOR`; GraphError `E_FUNCTION_CYCLE`, `E_BINDING`; PassError `E_OPSET` for versions that
 *   this package does not know.
 */
export function checkModel(model: Model, options: ReadOptions = {}): void {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const { tolerate } = options;
  checkOpsets(model, (error) => {
    if (tolerate === undefined) throw error;
    tolerate(error.message);
  });
  for (const { where, tensor } of tensorSites(model)) checkTensor(tensor, where);
  checkFunctions(model);
  checkBindings(model);
}

function checkOpsets(model: Model, refuse: (error: PassError) => void): void {
  if (model.irVersion < 1) {
    throw new GraphError("E_MISSING_FIELD", `irVersion ${model.irVersion} does not exist`, { field: "irVersion" });
  }
  const seen = new Map<string, number>();
  for (const { domain = "", version = 0n } of sources.model.get(model)?.opsetImport ?? []) {
    const key = normalizeDomain(domain);
    const earlier = seen.get(key);
    if (earlier !== undefined && earlier !== Number(version)) {
      const name = domain || "ai.onnx";
      refuse(
        new PassError("E_OPSET", `domain "${name}" is imported twice, as ${earlier} and as ${version}`, {
          field: "opsetImport",
          hint: "Leave one import per domain.",
        }),
      );
    } else seen.set(key, Number(version));
  }
  if (model.opset > NEWEST_OPSET) {
    refuse(
      new PassError("E_OPSET", `opset ${model.opset} is newer than ${NEWEST_OPSET}, the newest this version knows`, {
        field: "opsetImport",
        hint: "Update onnx-agr, or export with an older opset.",
      }),
    );
  }
}

function checkTensor(tensor: Tensor, where: string): void {
  const problem = tensorProblem(tensor);
  if (problem !== null) throw new FormatError("E_TENSOR", `tensor "${where}": ${problem}`, { field: where });
}

function tensorProblem(tensor: Tensor): string | null {
  const layout = layoutOf(tensor.dtype);
  if (layout === undefined) return `element type ${dataTypeName(tensor.dtype)} does not exist`;
  const type = `${dataTypeName(tensor.dtype)}[${tensor.dims.join(",")}]`;
  const compare = (given: number, what: string, expected: number | null): string | null =>
    given === expected ? null : `${given} ${what}, ${expected ?? "none"} expected for ${type}`;
  const { data } = tensor;
  switch (data.kind) {
    case "raw":
      return compare(data.bytes.length, "bytes of data", tensor.byteLength);
    case "packed": {
      const perByte = layout.bits < 8 && layout.bits > 0 ? 8 / layout.bits : 1;
      const expected = Math.ceil(tensor.size / perByte) * (layout.entries ?? 1);
      return compare(packedCount(data), `values in ${data.field}`, expected);
    }
    case "strings":
      return compare(data.values.length, "strings", tensor.size);
    case "external":
      if (tensor.byteLength === null) return `${type} cannot be external data`;
      return data.at.length === null ? null : compare(data.at.length, "bytes of external data", tensor.byteLength);
  }
}

/** Functions of a cycle that are named. */
const MOST_SHOWN = 10;

const keyOf = (of: GraphFunction | Node): string =>
  `${of.domain}::${"opType" in of ? of.opType : of.name}::${of.overload}`;

function checkFunctions(model: Model): void {
  const functions = new Map(model.functions.map((each) => [keyOf(each), each]));
  const done = new Set<GraphFunction>();
  /** The functions on the way down, and what each has still to call. */
  const open = new Map<GraphFunction, Iterator<GraphFunction>>();
  const enter = (each: GraphFunction): void => {
    open.set(each, new Set(calls(each.body, functions)).values());
    path.push(each);
  };
  const path: GraphFunction[] = [];
  for (const root of model.functions) {
    if (!done.has(root)) enter(root);
    for (let each = path.at(-1); each !== undefined; each = path.at(-1)) {
      const callee = open.get(each)?.next().value;
      if (callee === undefined) {
        done.add(each);
        open.delete(each);
        path.pop();
      } else if (open.has(callee)) {
        throw cycle([...path.slice(path.indexOf(callee)), callee]);
      } else if (!done.has(callee)) enter(callee);
    }
  }
}

function cycle(path: readonly GraphFunction[]): GraphError {
  const [first] = path;
  const names = path.map(({ name }) => name);
  const shown = names.length > MOST_SHOWN ? [...names.slice(0, MOST_SHOWN), "...", ...names.slice(-1)] : names;
  return new GraphError("E_FUNCTION_CYCLE", `functions call each other in a cycle: ${shown.join(" → ")}`, {
    field: first?.name ?? "",
  });
}

function* calls(body: Graph, functions: ReadonlyMap<string, GraphFunction>): Generator<GraphFunction> {
  for (const graph of walkGraphs(body)) {
    for (const node of graph) {
      const callee = functions.get(keyOf(node));
      if (callee !== undefined) yield callee;
    }
  }
}

/** Each binding renews an initializer (of the model or of the algorithm) with an output of its graph. */
function checkBindings(model: Model): void {
  for (const [index, info] of model.trainingInfo.entries()) {
    const graphs = [model.graph, info.algorithm, info.initialization].filter((graph) => graph !== null);
    const initializers = new Set(
      graphs.flatMap((graph) => [...graph.initializers, ...graph.inputs].map(({ name }) => name)),
    );
    for (const field of ["initializationBinding", "updateBinding"] as const) {
      const graph = field === "updateBinding" ? info.algorithm : info.initialization;
      const outputs = new Set((graph?.outputs ?? []).map(({ name }) => name));
      for (const [key, value] of info[field]) {
        const problem = !initializers.has(key)
          ? `"${key}" is not an initializer`
          : outputs.has(value)
            ? null
            : `"${value}" is not an output of its graph`;
        if (problem === null) continue;
        throw new GraphError("E_BINDING", `trainingInfo[${index}].${field} "${key}": ${problem}`, {
          field: `trainingInfo[${index}].${field}`,
        });
      }
    }
  }
}
