import { PassError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { DIALECTS, findOptimizers } from "../find-optimizers/index.ts";
import type { GradientEdge, OptimizerSite } from "../find-optimizers/site.ts";
import type { Report, Skipped } from "../pass.ts";
import { AGR_RECORD, type RecordedEdge, readRecord, writeRecord } from "../record.ts";
import { stripAgr } from "../strip-agr.ts";
import { AGR_DOMAIN, agrBuilder, agrFunctions, emitMapped, emitUnrolled, type Plan } from "./emit.ts";
import { type InsertAgrOptions, type Settings, settingsOf } from "./options.ts";
import { select } from "./selection.ts";

const FIRST_IR_WITH_FUNCTIONS = 8;
const FIRST_OPSET_WITH_SEQUENCE_MAP = 17;
/** Below it ReduceSum takes its axes otherwise and Where, Less and Range lack types. */
const FIRST_OPSET = 13;

export interface InsertAgrReport extends Report {
  readonly pass: "insert-agr";
  readonly dialect: string;
  readonly optimizer: string;
  /** `unrolled`: one AGR per gradient; `map`: one SequenceMap over all of them. */
  readonly structure: "unrolled" | "map";
  readonly form: "function" | "inline";
  /** The edges that were taken over: the optimizer read `from` and now reads `to`. */
  readonly edges: readonly RecordedEdge[];
  readonly options: Settings;
  /** Names of the parameters AGR reaches; null where the model does not tell its parameters. */
  readonly reached: readonly string[] | null;
}

/**
 * Puts AGR before the optimizer of an exported optimizer model: every gradient g becomes
 * g - strength * |g| / sum(|g|) * g. The optimizer alone reads the result; whoever else reads the gradients is not touched.
 *
 * A second call with the same options changes nothing; with others it replaces the first insertion.
 *
 * @throws PassError `E_NO_OPTIMIZER`, `E_SEVERAL_OPTIMIZERS`, `E_SELECTION`, `E_COUNT_NEEDED`, `E_OPSET`, `E_IR_VERSION`;
 *   UsageError `E_OPTION`. The model is unchanged then.
 */
export function insertAgr(model: Model, options: InsertAgrOptions = {}): InsertAgrReport {
  const record = readRecord(model, AGR_RECORD);
  const intent = decide(model, options);
  if (record === null) return apply(model, intent);
  if (JSON.stringify(record.options) === JSON.stringify(intent.recorded)) {
    const notes = [...intent.notes, "AGR was already there with these options; nothing changed"];
    return report({ ...intent, notes }, record.edges, 0);
  }
  stripAgr(model);
  const notes = [...intent.notes, "AGR was already there with other options; they were replaced"];
  return apply(model, { ...intent, notes });
}

/** Everything there is to decide about an insertion, before the model is touched. */
interface Intent {
  readonly site: OptimizerSite;
  readonly edge: GradientEdge;
  readonly plan: Plan;
  readonly count: number | undefined;
  readonly reached: readonly string[] | null;
  readonly skipped: readonly Skipped[];
  readonly notes: readonly string[];
  /** What tells one insertion from another, in a fixed order. */
  readonly recorded: Readonly<Record<string, unknown>>;
}

function decide(model: Model, options: InsertAgrOptions): Intent {
  const settings = settingsOf(options);
  const site = chooseSite(model, options.select);
  const [edge] = site.edges;
  if (edge === undefined) throw new RangeError(`${site.name} has no gradient edge`);
  if (model.opset < FIRST_OPSET) {
    throw new PassError(
      "E_OPSET",
      `opset ${model.opset} is older than ${FIRST_OPSET}, the first that AGR can be written in`,
      {
        hint: "Export the model with a newer opset.",
      },
    );
  }
  const { form, notes } = chooseForm(model, options);
  const { predicate, reached, skipped } = select(settings, options.parameters);
  const { parameters, count = parameters?.length, select: selected } = options;
  if (count === undefined && model.opset < FIRST_OPSET_WITH_SEQUENCE_MAP) {
    throw new PassError(
      "E_COUNT_NEEDED",
      `the number of gradients is unknown, and opset ${model.opset} has no SequenceMap`,
      {
        field: edge.value.name,
        hint: "Give the artifacts folder instead of the optimizer model alone, or the number of trainable parameters with --count.",
      },
    );
  }
  return {
    site,
    edge,
    plan: { settings, predicate, dtype: edge.dtype, form: count === undefined ? "inline" : form },
    count,
    reached,
    skipped: [...skipped, ...predicateNote(settings, options)],
    notes,
    recorded: {
      ...settings,
      form,
      ...(parameters === undefined ? {} : { parameters: parameters.map(({ name, shape }) => ({ name, shape })) }),
      ...(parameters === undefined && count !== undefined ? { count } : {}),
      ...(selected === undefined ? {} : { select: selected }),
    },
  };
}

function apply(model: Model, intent: Intent): InsertAgrReport {
  const { site, edge, plan, count, recorded } = intent;
  const build = agrBuilder(model, new Names(model), edge.value.name);
  if (plan.form === "function") {
    model.functions.push(...agrFunctions(model, plan));
    model.opsets.set(AGR_DOMAIN, 1);
  }
  const result =
    count === undefined ? emitMapped(build, edge.value, plan) : emitUnrolled(build, edge.value, count, plan);
  site.graph.insertBefore(edge.node, ...build.nodes);
  edge.node.setInput(edge.input, result);
  const edges = [{ from: edge.value.name, to: result.name }];
  writeRecord(model, AGR_RECORD, { options: recorded, edges });
  return report(intent, edges, edges.length);
}

function report(intent: Intent, edges: readonly RecordedEdge[], changed: number): InsertAgrReport {
  const { site, plan, count, reached, skipped, notes } = intent;
  return {
    pass: "insert-agr",
    changed,
    dialect: site.dialect,
    optimizer: site.optimizer,
    structure: count === undefined ? "map" : "unrolled",
    form: plan.form,
    edges,
    options: plan.settings,
    reached,
    skipped,
    notes,
  };
}

/** Without known parameters the small ones are sorted out when the graph runs; the report says so once. */
function predicateNote(settings: Settings, { parameters }: InsertAgrOptions): readonly Skipped[] {
  if (parameters !== undefined) return [];
  const rules = [
    ...(settings.minElements > 1 ? [`sums over fewer than ${settings.minElements} elements`] : []),
    ...(settings.minRank > 0 ? [`has a rank below ${settings.minRank}`] : []),
  ];
  return rules.length === 0
    ? []
    : [{ at: "any gradient", reason: `left alone at run time where it ${rules.join(" or ")}` }];
}

function chooseSite(model: Model, wanted: string | undefined): OptimizerSite {
  const { sites, refusals } = findOptimizers(model);
  const candidates = wanted === undefined ? sites : sites.filter(({ name }) => name === wanted);
  const [site] = candidates;
  if (site !== undefined && candidates.length === 1) return site;
  const names = sites.map(({ name, optimizer }) => `"${name}" (${optimizer})`).join(", ");
  if (sites.length > 0) {
    const problem =
      wanted === undefined
        ? `there are ${sites.length} optimizers: ${names}`
        : `no optimizer is named "${wanted}"; there is ${names}`;
    throw new PassError("E_SEVERAL_OPTIMIZERS", problem, { hint: "Choose one with --select <name>." });
  }
  const looked = `looked for ${DIALECTS.map(({ looksFor }) => looksFor).join("; ")}`;
  const nearest = refusals.map(({ at, reason }) => `${at}: ${reason}`).join("; ");
  throw new PassError(
    "E_NO_OPTIMIZER",
    `no optimizer was found; ${nearest === "" ? looked : `nearest: ${nearest}; ${looked}`}`,
    {
      hint: "Give optimizer_model.onnx of a set of training artifacts, or their folder.",
    },
  );
}

function chooseForm(
  model: Model,
  { form }: InsertAgrOptions,
): { form: "function" | "inline"; notes: readonly string[] } {
  if (model.irVersion >= FIRST_IR_WITH_FUNCTIONS) return { form: form ?? "function", notes: [] };
  if (form === "function") {
    throw new PassError(
      "E_IR_VERSION",
      `IR version ${model.irVersion} has no functions; they came with ${FIRST_IR_WITH_FUNCTIONS}`,
      {
        hint: "Use --form inline.",
      },
    );
  }
  return {
    form: "inline",
    notes: form === undefined ? [`IR version ${model.irVersion} has no functions: AGR is written inline`] : [],
  };
}
