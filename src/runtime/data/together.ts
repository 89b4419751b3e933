import { DataError, UsageError } from "../../errors.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { DataContent } from "./formats/format.ts";
import { listed } from "./formats/table.ts";
import { placeholder, type Streamed, streamedTogether } from "./streamed.ts";

/** What several files have, one after the other. @throws DataError `E_DATA`; UsageError `E_OPTION` where only some are read as a whole */
export function together(contents: readonly DataContent[]): DataContent {
  const [first, ...others] = contents;
  if (first !== undefined && others.length === 0) return first;
  const names = new Set(contents.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
  const streamed = new Map<string, Streamed>();
  const tensors = [...names].map((name) => {
    const parts = contents.flatMap((content) =>
      content.tensors.flatMap((each) => (each.name === name ? [each.tensor] : [])),
    );
    const kept = contents.flatMap((content) => content.streamed?.get(name) ?? []);
    if (kept.length === 0) return { name, tensor: joined(name, parts) };
    if (kept.length !== parts.length) {
      throw new UsageError("E_OPTION", `"${name}" is in files of which some are read as a whole and others are not`, {
        field: "stream",
        hint: "Give all of them with --stream (stream).",
      });
    }
    requireSameKind(name, parts);
    const whole = streamedTogether(kept);
    streamed.set(name, whole);
    return { name, tensor: placeholder(whole.dtype, whole.dims, name) };
  });
  const classes = Object.assign({}, ...contents.map((content) => content.classes ?? {}));
  const lists = contents.flatMap((content) => Object.entries(content.classes ?? {}));
  for (const [name, list] of lists) {
    if (JSON.stringify(list) === JSON.stringify(classes[name])) continue;
    throw new DataError("E_DATA", `the files have different classes in "${name}": ${list.join(", ")} in one`, {
      field: name,
      hint: "Say them all: --classes <list> (classes).",
    });
  }
  const columns = commonColumns(contents);
  return {
    tensors,
    ...(columns === undefined ? {} : { columns }),
    ...(streamed.size === 0 ? {} : { streamed }),
    ...(lists.length === 0 ? {} : { classes }),
  };
}

/** @throws DataError `E_TABLE` where files have other columns, or the same in another order */
function commonColumns(contents: readonly DataContent[]): readonly string[] | undefined {
  const lists = contents.flatMap(({ columns }) => (columns === undefined ? [] : [columns]));
  const [first, ...others] = lists;
  const odd = others.find((columns) => columns.join("\n") !== first?.join("\n"));
  if (first === undefined || odd === undefined) return first;
  throw new DataError(
    "E_TABLE",
    `the columns of the files are others, or stand in another order: ${listed(first)} in one, ${listed(odd)} in another`,
    { field: "columns", hint: `Say which, in their order: --columns ${first.slice(0, 100).join(",")} (columns).` },
  );
}

/** One after the other along the first axis. @throws DataError `E_DATA` where they do not fit */
function joined(name: string, parts: readonly Tensor[]): Tensor {
  const [first, ...others] = parts;
  if (first === undefined) throw new Error(`no part of ${name}`);
  if (others.length === 0) return first;
  requireSameKind(name, parts);
  const rows = parts.reduce((sum, part) => sum + (part.dims[0] ?? 0), 0);
  const width = first.dims.slice(1).reduce((product, dim) => product * dim, 1);
  const values = new (first.values().constructor as Float32ArrayConstructor)(rows * width);
  let at = 0;
  for (const part of parts) {
    values.set(part.values() as Float32Array, at);
    at += part.values().length;
  }
  return Tensor.from(first.dtype, [rows, ...first.dims.slice(1)], values);
}

/** @throws DataError `E_DATA` where samples of several files have other types or sizes */
function requireSameKind(name: string, parts: readonly Tensor[]): void {
  const [first, ...others] = parts;
  if (first === undefined) throw new Error(`no part of ${name}`);
  const shapeOf = ({ dtype, dims }: Tensor): string => JSON.stringify([dtype, dims.slice(1), dims.length > 0]);
  const odd = others.find((part) => shapeOf(part) !== shapeOf(first) || part.dims.length === 0);
  if (odd !== undefined) {
    throw new DataError(
      "E_DATA",
      `"${name}" is [${first.dims}] in one file and [${odd.dims}] in another: samples of different kinds`,
      {
        field: name,
      },
    );
  }
}
