import { OPTIONS, requireArgument } from "../../arguments.ts";
import { AGR_RECORD, type RecordedEdge, readRecord, writeRecord } from "../../edits/record.ts";
import { A_MODEL, type Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import type { Report } from "../pass.ts";
import { stripAgr } from "../strip-agr.ts";
import { updateOf } from "./cautious.ts";
import { chooseForm, chooseOpset, chooseSites } from "./choose.ts";
import type { Intent } from "./intent.ts";
import { type Form, type InsertAgrOptions, type Settings, settingsOf } from "./options.ts";
import { decideSequence } from "./sequence.ts";
import { decideTensors } from "./tensors.ts";
import { chooseChain } from "./transforms.ts";

export interface InsertAgrReport extends Report {
  readonly pass: "insert-agr";
  readonly dialect: string;
  readonly optimizer: string;
  readonly structure: Intent["structure"];
  readonly form: Form;
  /** The edges that were taken over: the optimizer read `from` and now reads `to`. */
  readonly edges: readonly RecordedEdge[];
  readonly options: Settings;
  /** Names of the parameters AGR reaches; null where the model does not tell its parameters. */
  readonly reached: readonly string[] | null;
}

/**
 * Puts AGR before the optimizer of an exported training graph: every gradient g becomes
 * g - strength * |g| / sum(|g|) * g. The optimizer alone reads the result; whoever else reads the gradients is not touched.
 *
 * A second call with the same options changes nothing; with others it replaces the first insertion.
 *
 * @throws PassError `E_NO_OPTIMIZER`, `E_SEVERAL_OPTIMIZERS`, `E_SELECTION`, `E_COUNT_NEEDED`, `E_GLOBAL_SCOPE`, `E_TRANSFORM`, `E_CAUTIOUS`, `E_OPSET`,
 *   `E_IR_VERSION`; UsageError `E_OPTION`. The model is unchanged then.
 */
export function insertAgr(model: Model, options: InsertAgrOptions = {}): InsertAgrReport {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const record = readRecord(model, AGR_RECORD);
  const decision = decide(model, options);
  if (record === null) return apply(model, decision);
  const { intent, notes, recorded } = decision;
  if (JSON.stringify(record.options) === JSON.stringify(recorded)) {
    return report(intent, record.edges, 0, [...notes, "AGR was already there with these options; nothing changed"]);
  }
  stripAgr(model);
  const fresh = decide(model, options);
  return apply(model, {
    ...fresh,
    recorded,
    notes: [...fresh.notes, "AGR was already there with other options; they were replaced"],
  });
}

interface Decision {
  readonly intent: Intent;
  readonly notes: readonly string[];
  readonly recorded: Readonly<Record<string, unknown>>;
  /** The version of ONNX's operators to import; null where the model imports one. */
  readonly toImport: number | null;
}

function decide(model: Model, options: InsertAgrOptions): Decision {
  const settings = settingsOf(options);
  const { select, state = [], gradient = [], trainable, reported, transforms = [], cautious = [] } = options;
  const find = {
    state,
    gradient,
    ...(trainable === undefined ? {} : { trainable }),
    ...(reported === undefined ? {} : { reported }),
  };
  const { sites, refusals } = chooseSites(model, { ...find, ...(select === undefined ? {} : { select }) });
  const { opset, isImported, notes: opsetNotes } = chooseOpset(model, settings);
  const { form, notes: formNotes } = chooseForm(model, options);
  const notes = [...opsetNotes, ...formNotes];
  const [site] = sites;
  const sequence = site?.edges.find((edge) => edge.kind === "sequence");
  const intent =
    site !== undefined && sequence !== undefined
      ? decideSequence(model, site, sequence, settings, form, { ...options, opset })
      : decideTensors(model, sites, refusals, settings, form, { transforms, cautious });
  if (site !== undefined && sequence !== undefined) {
    chooseChain(model, [sequence], transforms, settings);
    if (cautious.length > 0) updateOf(site.optimizer, sequence);
  }
  const told = Object.entries({
    select,
    reported,
    state: state.length > 0 ? state : undefined,
    gradient: gradient.length > 0 ? gradient : undefined,
    trainable,
  });
  const recorded = {
    ...settings,
    form,
    ...intent.recorded,
    ...Object.fromEntries(told.filter(([, value]) => value !== undefined)),
  };
  return { intent, notes, recorded, toImport: isImported ? null : opset };
}

function apply(model: Model, { intent, notes, recorded, toImport }: Decision): InsertAgrReport {
  if (toImport !== null) model.opsets.set(ONNX_DOMAIN, toImport);
  const edges = intent.apply(new Names(model));
  writeRecord(model, AGR_RECORD, { options: recorded, edges, ...(toImport === null ? {} : { opset: toImport }) });
  return report(intent, edges, edges.length, notes);
}

function report(
  intent: Intent,
  edges: readonly RecordedEdge[],
  changed: number,
  notes: readonly string[],
): InsertAgrReport {
  const { dialect, optimizer, structure, form, settings, reached, skipped } = intent;
  return {
    pass: "insert-agr",
    changed,
    dialect,
    optimizer,
    structure,
    form,
    edges,
    options: settings,
    reached,
    skipped,
    notes: [...notes, ...(intent.notes ?? [])],
  };
}
