import type { NamedTensor } from "../../../graph/attribute.ts";
import type { Streamed } from "../streamed.ts";
import type { Layout } from "./stored.ts";
import type { ReadTable } from "./table.ts";

/** What a file of data holds. */
export interface DataContent {
  readonly tensors: readonly NamedTensor[];
  /** The classes that a column of text had, in the order of their numbers, by tensor. */
  readonly classes?: Readonly<Record<string, readonly string[]>>;
  /** Of tables whose columns have names: those of the features, in their order. */
  readonly columns?: readonly string[];
  /** What was chosen of a table, in words. */
  readonly notes?: readonly string[];
  /** Those of the tensors whose elements are not in memory, by name. Default: none. */
  readonly streamed?: ReadonlyMap<string, Streamed>;
  /** Of text: how much of it there is, and what its tokens say. */
  readonly text?: TextFacts;
  /** Where a sample of a tensor stands in the file: `line:column`. */
  readonly where?: (name: string, sample: number) => string;
}

/** What was read of text. */
export interface TextFacts {
  readonly tokens: number;
  readonly lines: number;
  /** How many numbers tokens may have. */
  readonly vocabulary: number;
  readonly decode: (tokens: readonly number[]) => string;
  /** How many different tokens there are, and how many stand for what the tokenizer does not know. */
  readonly count: () => { readonly different: number; readonly unknown: number };
}

/** Of tables. */
export interface TableOptions {
  /** Columns that are read, by name or by number from 0; one tensor is made of them. Default: all but the label's. */
  readonly columns?: readonly string[];
  /** The column of the label, by name or by number; null for none. Default: `label`, `labels`, `class` or `target`, else the last. */
  readonly label?: string | null;
  /** Whether the first row has names. Default: whether it has a cell that is no number, and the second has fewer of them. */
  readonly header?: boolean;
  /** The words of a label of text, or the folders of images, in the order of their numbers. Default: those that occur, in alphabetical order. */
  readonly classes?: readonly string[];
}

/** One kind of data file. */
export interface DataFormat {
  readonly name: string;
  /** What its files' names match. */
  readonly names: RegExp;
  /** Reads it row by row, of formats with rows and columns, which the options are for. */
  readonly table?: ReadTable;
  /** Where samples lie, of formats whose samples can be read one by one. */
  readonly layout?: Layout;
  /** @throws DataError naming what is wrong; the caller names the file */
  readonly decode: (bytes: Uint8Array, options: TableOptions, name: string) => DataContent | Promise<DataContent>;
}
