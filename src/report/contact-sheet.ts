import { requireArgument } from "../arguments.ts";
import { DataError } from "../errors.ts";
import type { Tensor } from "../graph/tensor.ts";
import { gather } from "../runtime/data/dataset.ts";
import { DATA_CONTENT } from "../runtime/data/describe-data.ts";
import { isCalledLabel } from "../runtime/data/fit.ts";
import type { DataContent } from "../runtime/data/formats/format.ts";
import { type PictureLayout, picturesIn } from "../runtime/data/picture-layout.ts";
import { drawNumber } from "./numerals.ts";
import { encodePng } from "./png.ts";

/** Pixels: what a sheet has at most, what lies between pictures, what a picture is enlarged to, and made smaller to. */
const [SHEET_WIDTH, SHEET_HEIGHT, GAP, SMALL, LARGE] = [1600, 6000, 2, 64, 128];
const [MOST_COLUMNS, MOST_ROWS] = [16, 64];
/** Numbers of classes are drawn in it, to the left of their row. */
const MARGIN = 36;
/** Of more classes there is no row for each. */
const MOST_CLASSES = 1000;

export interface ContactSheet {
  /** A PNG file. */
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** The tensor that the pictures are of. */
  readonly tensor: string;
  /** The samples, row by row; with the class of a row where the data have classes. */
  readonly rows: readonly { readonly label: number | null; readonly samples: readonly number[] }[];
  /** Classes that have no row because the sheet would be too high. */
  readonly leftOut: number;
}

/**
 * Draws samples of data that are pictures: a row of each class, whose number stands before it, or the first samples.
 * @throws DataError `E_SHEET` where no tensor has pictures; what reading samples throws
 */
export async function contactSheet(content: DataContent): Promise<ContactSheet> {
  requireArgument("content", content, DATA_CONTENT);
  const found = content.tensors.flatMap(({ name, tensor }) => {
    const layout = picturesIn(tensor);
    return layout === null ? [] : [{ name, tensor, layout }];
  })[0];
  if (found === undefined || found.tensor.dims[0] === 0) {
    const has = content.tensors.map(({ name, tensor }) => `${name} [${tensor.dims}]`).join(", ");
    throw new DataError("E_SHEET", `the data have no pictures to draw: ${has}`, {
      hint: "Pictures are tensors [N,H,W], [N,C,H,W] or [N,H,W,C] of bytes or floats, with 1, 3 or 4 channels, of 4 pixels or more a side.",
    });
  }
  const { name, tensor, layout } = found;
  const side = Math.max(layout.height, layout.width);
  const scale = side > LARGE ? 1 / Math.ceil(side / LARGE) : Math.max(1, Math.floor(SMALL / side));
  const cell = [Math.ceil(layout.height * scale), Math.ceil(layout.width * scale)] as const;
  const columns = clamp(Math.floor(SHEET_WIDTH / (cell[1] + GAP)), MOST_COLUMNS);
  const most = clamp(Math.floor(SHEET_HEIGHT / (cell[0] + GAP)), MOST_ROWS);
  const chosen = rowsOf(content, tensor.dims[0] ?? 0, columns, most);
  const samples = Uint32Array.from(chosen.rows.flatMap((row) => row.samples));
  const read = await content.streamed?.get(name)?.read(samples, { seed: 0, epoch: 0 });
  const pictures = pixelsOf(read ?? gather(tensor, samples, 0), layout, cell, scale);
  const margin = chosen.rows.some(({ label }) => label !== null) ? MARGIN : 0;
  const widest = Math.max(...chosen.rows.map((row) => row.samples.length));
  const [width, height] = [margin + widest * (cell[1] + GAP) + GAP, chosen.rows.length * (cell[0] + GAP) + GAP];
  const sheet = { width, height, channels: 3 as const, data: new Uint8Array(3 * width * height).fill(BACKGROUND) };
  let at = 0;
  for (const [row, { label, samples: each }] of chosen.rows.entries()) {
    const top = GAP + row * (cell[0] + GAP);
    if (label !== null) drawNumber(sheet, label, margin - GAP, top + Math.floor(cell[0] / 2));
    for (const column of each.keys()) {
      const left = margin + GAP + column * (cell[1] + GAP);
      place(sheet, pictures(at++), cell, top, left);
    }
  }
  return { png: encodePng(sheet), width, height, tensor: name, ...chosen };
}

const BACKGROUND = 128;

const clamp = (count: number, most: number): number => Math.max(1, Math.min(most, count));

/** Samples of each class in the order of the data, or the first ones where there are no classes. */
function rowsOf(
  { tensors }: DataContent,
  size: number,
  columns: number,
  most: number,
): Pick<ContactSheet, "rows" | "leftOut"> {
  const labels = tensors.find(({ name, tensor }) => isCalledLabel(name) && tensor.dims.length === 1)?.tensor.values();
  const byClass = new Map<number, number[]>();
  for (const [sample, value] of (labels ?? []).entries()) {
    const label = Number(value);
    const own = byClass.get(label) ?? [];
    if (own.length < columns) own.push(sample);
    byClass.set(label, own);
  }
  const isByClass =
    labels?.length === size && byClass.size <= MOST_CLASSES && [...byClass.keys()].every(Number.isInteger);
  if (isByClass) {
    const all = [...byClass].sort(([a], [b]) => a - b).map(([label, samples]) => ({ label, samples }));
    return { rows: all.slice(0, most), leftOut: Math.max(0, all.length - most) };
  }
  const shown = Math.min(size, columns * Math.min(most, columns));
  const rows = Array.from({ length: Math.ceil(shown / columns) }, (_, row) => ({
    label: null,
    samples: Array.from({ length: Math.min(columns, shown - row * columns) }, (_, column) => row * columns + column),
  }));
  return { rows, leftOut: 0 };
}

/** Red, green and blue of a cell; numbers of floats go from the least of all samples, black, to the greatest, white. */
function pixelsOf(
  tensor: Tensor,
  { channels, height, width, isChannelsLast }: PictureLayout,
  [rows, columns]: readonly [number, number],
  scale: number,
): (sample: number) => Uint8Array {
  const values = tensor.values();
  const size = channels * height * width;
  let [low, high] = [0, 255];
  if (!(values instanceof Uint8Array)) {
    const finite = Float64Array.from(values, Number).filter(Number.isFinite);
    low = finite.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
    high = finite.reduce((greatest, value) => Math.max(greatest, value), Number.NEGATIVE_INFINITY);
    if (!(high > low)) high = low + 1;
  }
  return (sample) => {
    const cell = new Uint8Array(3 * rows * columns);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const pixel = Math.min(height - 1, Math.floor(y / scale)) * width + Math.min(width - 1, Math.floor(x / scale));
        for (let colour = 0; colour < 3; colour++) {
          const channel = channels === 1 ? 0 : colour;
          const at = isChannelsLast ? pixel * channels + channel : channel * height * width + pixel;
          const share = (Number(values[sample * size + at]) - low) / (high - low);
          cell[3 * (y * columns + x) + colour] = Math.round(255 * Math.min(1, Math.max(0, share)));
        }
      }
    }
    return cell;
  };
}

interface Sheet {
  readonly width: number;
  readonly data: Uint8Array;
}

function place(
  { width, data }: Sheet,
  cell: Uint8Array,
  [rows, columns]: readonly [number, number],
  top: number,
  left: number,
): void {
  for (let y = 0; y < rows; y++)
    data.set(cell.subarray(3 * y * columns, 3 * (y + 1) * columns), 3 * ((top + y) * width + left));
}
