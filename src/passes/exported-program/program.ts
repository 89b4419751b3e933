import type { Graph, Node, Value } from "../../graph/graph.ts";

/** A parameter or buffer of the program that was exported. */
export interface Target {
  /** Its name in the framework, `encoder.layer.0.query.bias`. */
  readonly name: string;
  readonly isParameter: boolean;
}

/** One operation of the program, from which one or more nodes were made. */
export interface Call {
  /** `aten.linear.default` */
  readonly op: string;
  /** The parameters and buffers it is given, in the order of its arguments, each once. */
  readonly targets: readonly Target[];
  /** What it is given beside parameters and buffers, by the program's names. */
  readonly results: readonly string[];
  /** The row of an embedding that has no gradient; null where there is none. */
  readonly paddingRow: number | null;
  /** The share of its weights that an attention drops in training; 0 where it drops none. */
  readonly dropped: number;
}

/** What PyTorch's default exporter writes of the program beside the graph. */
export interface ExportedProgram {
  readonly targets: ReadonlyMap<string, Target>;
  /** The call a node was made from; null where it is not said. The nodes of one call have the same object. */
  readonly callOf: (node: Node) => Call | null;
  /** What a constant was computed from when the exporter folded it; null where it was not. */
  readonly foldedFrom: (value: Value) => readonly string[] | null;
}

const SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature";
const RULE = "pkg.onnxscript.rewriter.rule_name";
const CALL = "pkg.torch.onnx.fx_node";
const FOLDED = "pkg.onnxscript.optimizer.folded_from";

/** Whether the exporter's optimizer changed a node by a rule: `RemoveOptionalBiasFromGemm`, `FuseBatchNormIntoConv`. */
export const isMadeBy = ({ metadata }: Node, rule: RegExp): boolean => rule.test(metadata.get(RULE) ?? "");

/** Rules that make one node of several, which is said to be of the call of one of them. */
export const FUSIONS = /\bFuse/;

/** The arguments of an embedding: table, places, and the padding row, -1 where there is none. */
const EMBEDDING = /^\(args = \(%\w+, %\w+, (\d+)/;

/** The arguments of an attention: query, key, value, mask, and the share that is dropped. */
const ATTENTION = /^\(args = \(%\w+, %\w+, %\w+, (?:%\w+|None), ([\d.e-]+)|\bdropout_p: ([\d.e-]+)/;

/** Whether a graph was made by PyTorch's default exporter. */
export const hasProgram = ({ metadata }: Graph): boolean => metadata.has(SIGNATURE);

/** Reads the metadata of a graph; null where it was not made by PyTorch's default exporter. */
export function readProgram(graph: Graph): ExportedProgram | null {
  const signature = graph.metadata.get(SIGNATURE);
  if (signature === undefined) return null;
  const byPlaceholder = new Map<string, Target>();
  for (const line of signature.split("\n")) {
    const [, placeholder, kind = "", name] = /^(\w+): ([A-Z_]+) target='([^']+)'/.exec(line) ?? [];
    if (placeholder === undefined || name === undefined || kind.endsWith("OUTPUT")) continue;
    byPlaceholder.set(placeholder, { name, isParameter: kind === "PARAMETER" });
  }
  const folded = new Map<string, readonly string[]>();
  for (const { value, metadata } of graph.valueInfo) {
    const sources = metadata.get(FOLDED);
    if (sources !== undefined)
      folded.set(
        value.name,
        [...sources.matchAll(/'([^']*)'/g)].map(([, name = ""]) => name),
      );
  }
  const calls = new Map<string, Call>();
  return {
    targets: new Map([...byPlaceholder.values()].map((target) => [target.name, target])),
    callOf(node) {
      const text = node.metadata.get(CALL);
      if (text === undefined) return null;
      const known = calls.get(text);
      if (known !== undefined) return known;
      const [, op = ""] = /\[target=(?:torch\.ops\.)?([\w.]+)\]/.exec(text) ?? [];
      const given = text.slice(text.indexOf("(args = "));
      const names = [...given.matchAll(/%(\w+)/g)].map(([, name = ""]) => name);
      const named = names.flatMap((name) => byPlaceholder.get(name) ?? []);
      const results = names.filter((name) => !byPlaceholder.has(name));
      const [, row] = op.startsWith("aten.embedding.") ? (EMBEDDING.exec(given) ?? []) : [];
      const isAttention = op.startsWith("aten.scaled_dot_product_attention");
      const [, share, keyword] = isAttention ? (ATTENTION.exec(given) ?? []) : [];
      const call = {
        op,
        targets: [...new Set(named)],
        results,
        paddingRow: row === undefined ? null : Number(row),
        dropped: Number(share ?? keyword ?? 0),
      };
      calls.set(text, call);
      return call;
    },
    foldedFrom: ({ name }) => folded.get(name) ?? null,
  };
}
