import { DataType } from "../../graph/data-type.ts";
import type { Tensor } from "../../graph/tensor.ts";

/** How the samples of a tensor are pictures. */
export interface PictureLayout {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly isChannelsLast: boolean;
}

/** What is smaller is no picture. */
const SMALLEST = 4;
const CHANNELS: readonly (number | undefined)[] = [1, 3, 4];

/** Samples [N,H,W], [N,C,H,W] or [N,H,W,C] of one, three or four channels, of bytes or floats; null where they are none. */
export function picturesIn({ dtype, dims }: Tensor): PictureLayout | null {
  if (dtype !== DataType.uint8 && dtype !== DataType.float && dtype !== DataType.double) return null;
  const [, a = 0, b = 0, c = 0] = dims;
  const layout = (channels: number, height: number, width: number, isChannelsLast: boolean): PictureLayout | null =>
    height >= SMALLEST && width >= SMALLEST ? { channels, height, width, isChannelsLast } : null;
  if (dims.length === 3) return layout(1, a, b, false);
  if (dims.length !== 4) return null;
  if (CHANNELS.includes(a)) return layout(a, b, c, false);
  return CHANNELS.includes(c) ? layout(c, a, b, true) : null;
}
