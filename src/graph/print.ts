import { OPTIONS, requireArgument } from "../arguments.ts";
import type { Attribute } from "./attribute.ts";
import { dataTypeName } from "./data-type.ts";
import type { Graph, Node, Value } from "./graph.ts";
import type { GraphFunction, Model } from "./model.ts";
import { A_MODEL } from "./model.ts";
import type { Tensor } from "./tensor.ts";
import { formatType } from "./value-type.ts";

export interface PrintOptions {
  /** Elements of a constant that are printed before it is cut short. Default 8. */
  readonly maxElements?: number;
}

/**
 * The model as text, close to ONNX's own text format: for reading, tests and `inspect`, not for parsing back.
 */
export function printModel(model: Model, options: PrintOptions = {}): string {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const limit = options.maxElements ?? 8;
  const header = [
    `ir_version: ${model.irVersion}`,
    `opset_import: [${opsets(model.opsets)}]`,
    ...(model.metadata.size === 0 ? [] : [`metadata: {${pairs(model.metadata)}}`]),
  ];
  const training = model.trainingInfo.flatMap(({ initialization, algorithm, initializationBinding, updateBinding }) => [
    ...(initialization === null ? [] : [`training_info initialization ${graphText(initialization, "", limit)}`]),
    ...(algorithm === null ? [] : [`training_info algorithm ${graphText(algorithm, "", limit)}`]),
    ...[...initializationBinding, ...updateBinding].map(([key, value]) => `binding ${quote(key)} <- ${quote(value)}`),
  ]);
  return `${[
    `<${header.join(", ")}>`,
    graphText(model.graph, "", limit),
    ...training,
    ...model.functions.map((each) => functionText(each, limit)),
  ].join("\n")}\n`;
}

function functionText(each: GraphFunction, limit: number): string {
  const attributes = [...each.attributes, ...each.defaults.map((attribute) => attributeText(attribute, "", limit))];
  const names = (values: readonly Value[]): string => values.map(({ name }) => quote(name)).join(", ");
  return [
    `<domain: ${JSON.stringify(each.domain)}, opset_import: [${opsets(each.opsets)}]>`,
    `${quote(each.name)}${attributes.length === 0 ? "" : ` <${attributes.join(", ")}>`} (${names(each.body.inputs)}) => (${names(each.body.outputs)}) {`,
    ...each.body.nodes.map((node) => nodeText(node, "  ", limit)),
    "}",
  ].join("\n");
}

function graphText(graph: Graph, indent: string, limit: number): string {
  const typed = (values: readonly Value[]): string =>
    values.map(({ name, type }) => `${formatType(type)} ${quote(name)}`).join(", ");
  const inner = `${indent}  `;
  const constants = [
    ...graph.initializers.map(
      ({ name, tensor }) => `${quote(name)} = ${tensor === null ? "?" : tensorText(tensor, limit)}`,
    ),
    ...graph.sparseInitializers.map(({ value, tensor }) => `${quote(value.name)} = sparse[${tensor.dims.join(",")}]`),
  ];
  return [
    `${quote(graph.name || "graph")} (${typed(graph.inputs)}) => (${typed(graph.outputs)})`,
    ...(constants.length === 0 ? [] : [`${indent}<`, ...constants.map((each) => `${inner}${each}`), `${indent}>`]),
    `${indent}{`,
    ...graph.nodes.map((node) => nodeText(node, inner, limit)),
    `${indent}}`,
  ].join("\n");
}

function nodeText(node: Node, indent: string, limit: number): string {
  const values = (list: readonly (Value | null)[]): string =>
    list.map((value) => (value === null ? '""' : quote(value.name))).join(", ");
  const attributes = [...node.attributes.values()].map((attribute) => attributeText(attribute, indent, limit));
  const op = `${node.domain === "" ? "" : `${quote(node.domain)}.`}${quote(node.opType)}${node.overload === "" ? "" : `:${quote(node.overload)}`}`;
  return [
    indent,
    node.name === "" ? "" : `[${quote(node.name)}] `,
    `${values(node.outputs)} = ${op}`,
    attributes.length === 0 ? "" : ` <${attributes.join(", ")}>`,
    ` (${values(node.inputs)})`,
  ].join("");
}

const utf8 = new TextDecoder();

function attributeText(attribute: Attribute, indent: string, limit: number): string {
  const show = (): string => {
    switch (attribute.kind) {
      case "float":
        return floatText(attribute.value);
      case "floats":
        return `[${attribute.value.map(floatText).join(", ")}]`;
      case "string":
        return JSON.stringify(utf8.decode(attribute.value));
      case "strings":
        return `[${attribute.value.map((text) => JSON.stringify(utf8.decode(text))).join(", ")}]`;
      case "tensor":
        return tensorText(attribute.value.tensor, limit);
      case "tensors":
        return `[${attribute.value.map(({ tensor }) => tensorText(tensor, limit)).join(", ")}]`;
      case "graph":
        return graphText(attribute.value, indent, limit);
      case "graphs":
        return `[${attribute.value.map((graph) => graphText(graph, indent, limit)).join(", ")}]`;
      case "type":
        return formatType(attribute.value);
      case "types":
        return `[${attribute.value.map(formatType).join(", ")}]`;
      case "sparse-tensor":
        return `sparse[${attribute.value.dims.join(",")}]`;
      case "sparse-tensors":
        return `[${attribute.value.map(({ dims }) => `sparse[${dims.join(",")}]`).join(", ")}]`;
      case "int":
        return String(attribute.value);
      case "ints":
        return `[${attribute.value.join(", ")}]`;
      case "reference":
        return `@${quote(attribute.value.attribute)}`;
      case "undefined":
        return "?";
    }
  };
  return `${quote(attribute.name)} = ${show()}`;
}

function tensorText(tensor: Tensor, limit: number): string {
  const type = `${dataTypeName(tensor.dtype)}[${tensor.dims.join(",")}]`;
  const { data } = tensor;
  if (data.kind === "external") return `${type} in ${JSON.stringify(data.at.location)}`;
  if (data.kind === "strings") {
    const shown = data.values.slice(0, limit).map((text) => JSON.stringify(utf8.decode(text)));
    return `${type} {${ellipsis(shown, data.values.length)}}`;
  }
  if (tensor.size > limit) return `${type} {...}`;
  try {
    return `${type} {${[...tensor.values()].map((value) => (typeof value === "bigint" ? String(value) : floatText(value))).join(", ")}}`;
  } catch {
    return `${type} {?}`;
  }
}

function ellipsis(shown: readonly string[], total: number): string {
  return [...shown, ...(total > shown.length ? ["..."] : [])].join(", ");
}

/** A float32 attribute holds 0.9 as 0.8999999761581421; print the shortest decimal that gives the same float32. */
function floatText(value: number): string {
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return String(short);
  }
  return String(value);
}

function opsets(imports: ReadonlyMap<string, number>): string {
  return [...imports].map(([domain, version]) => `${JSON.stringify(domain)} : ${version}`).join(", ");
}

function pairs(entries: ReadonlyMap<string, string>): string {
  return [...entries].map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`).join(", ");
}

function quote(name: string): string {
  return /^[\p{L}_][\p{L}\p{N}_.:/-]*$/u.test(name) ? name : JSON.stringify(name);
}
