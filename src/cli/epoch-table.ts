import { tableLines } from "./table.ts";

/** What a training tells of an epoch. */
export interface EpochRow {
  /** Counted from 0. */
  readonly epoch: number;
  /** The last step of the epoch. */
  readonly step: number;
  readonly loss: number;
  readonly seconds: number;
  readonly samplesPerSecond: number;
  readonly validation: {
    readonly loss: number;
    readonly isBest: boolean;
    /** In words. */
    readonly metrics: readonly string[];
    /** Loss and metrics by name. */
    readonly values: Readonly<Record<string, number>>;
  } | null;
}

/** More epochs than these are shown by the first, the best and the last ones. */
const MOST_ROWS = 12;
const LAST_ROWS = 6;

/** A row per epoch; nothing of a single one, of which the lines before have told. */
export function epochTable(epochs: readonly EpochRow[]): readonly string[] {
  if (epochs.length < 2) return [];
  const hasValidation = epochs.some(({ validation }) => validation !== null);
  const best = epochs.findLast(({ validation }) => validation?.isBest === true);
  const shown =
    epochs.length <= MOST_ROWS
      ? epochs
      : epochs.filter((row, at) => at < 2 || row === best || at >= epochs.length - LAST_ROWS);
  const rows = shown.map((row) => [
    String(row.epoch + 1),
    row.loss.toPrecision(4),
    ...(hasValidation ? [row.validation?.loss.toPrecision(4) ?? "", row.validation?.metrics[0] ?? ""] : []),
    `${Math.round(row.samplesPerSecond)} samples/s`,
    `${row.seconds.toFixed(1)} s`,
    row === best ? "the best" : "",
  ]);
  const left = epochs.length - shown.length;
  return [
    ...tableLines([["epoch", "loss", ...(hasValidation ? ["validation", ""] : []), "", "", ""], ...rows]),
    ...(left === 0 ? [] : [`(${left} of ${epochs.length} epochs are left out)`]),
  ];
}
