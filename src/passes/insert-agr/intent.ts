import type { RecordedEdge } from "../../edits/record.ts";
import type { Names } from "../../graph/names.ts";
import type { Skipped } from "../pass.ts";
import type { Form, Settings } from "./options.ts";

/** Everything there is to decide about an insertion, decided before the model is touched. */
export interface Intent {
  /** `unrolled`: AGR on each element of a sequence; `map`: one SequenceMap over it; `tensors`: AGR on each gradient tensor. */
  readonly structure: "unrolled" | "map" | "tensors";
  readonly form: Form;
  readonly dialect: string;
  readonly optimizer: string;
  readonly settings: Settings;
  /** Names of the parameters AGR reaches; null where the model does not tell its parameters. */
  readonly reached: readonly string[] | null;
  readonly skipped: readonly Skipped[];
  readonly notes?: readonly string[];
  /** What tells this insertion from another with the same settings and form, in a fixed order. */
  readonly recorded: Readonly<Record<string, unknown>>;
  /** Emits and rewires. @returns the edges it took over */
  readonly apply: (names: Names) => readonly RecordedEdge[];
}
