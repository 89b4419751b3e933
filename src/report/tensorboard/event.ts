import protobuf from "protobufjs/minimal.js";
import type { Histogram } from "../../runtime/statistics/histogram.ts";

/** A picture as TensorBoard keeps it. */
export interface EncodedImage {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 red, green and blue. */
  readonly channels: 1 | 3;
  readonly png: Uint8Array;
}

/** What an event tells under a tag. */
export type SummaryValue =
  | { readonly tag: string; readonly scalar: number }
  | { readonly tag: string; readonly histogram: Histogram }
  | { readonly tag: string; readonly image: EncodedImage };

const [VARINT, FIXED64, DELIMITED, FIXED32] = [0, 1, 2, 5];
const tag = (field: number, wire: number): number => (field << 3) | wire;

/** The first event of every file. @param wallTime seconds since 1970 */
export function versionEvent(wallTime: number): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(tag(1, FIXED64)).double(wallTime);
  writer.uint32(tag(3, DELIMITED)).string("brain.Event:2");
  return writer.finish();
}

/** Values of one step, as TensorFlow's message `Event` has them. */
export function summaryEvent(wallTime: number, step: number, values: readonly SummaryValue[]): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(tag(1, FIXED64)).double(wallTime);
  writer.uint32(tag(2, VARINT)).int64(step);
  writer.uint32(tag(5, DELIMITED)).fork();
  for (const value of values) {
    writer.uint32(tag(1, DELIMITED)).fork();
    writer.uint32(tag(1, DELIMITED)).string(value.tag);
    if ("scalar" in value) writer.uint32(tag(2, FIXED32)).float(value.scalar);
    else if ("image" in value) writeImage(writer, value.image);
    else writeHistogram(writer, value.histogram);
    writer.ldelim();
  }
  writer.ldelim();
  return writer.finish();
}

function writeImage(writer: protobuf.Writer, { width, height, channels, png }: EncodedImage): void {
  writer.uint32(tag(4, DELIMITED)).fork();
  writer.uint32(tag(1, VARINT)).int32(height);
  writer.uint32(tag(2, VARINT)).int32(width);
  writer.uint32(tag(3, VARINT)).int32(channels);
  writer.uint32(tag(4, DELIMITED)).bytes(png);
  writer.ldelim();
}

function writeHistogram(writer: protobuf.Writer, histogram: Histogram): void {
  const { least, greatest, count, sum, squares, buckets } = histogram;
  writer.uint32(tag(5, DELIMITED)).fork();
  for (const [at, value] of [least, greatest, count, sum, squares].entries())
    writer.uint32(tag(at + 1, FIXED64)).double(value);
  for (const at of [0, 1] as const) {
    writer.uint32(tag(6 + at, DELIMITED)).fork();
    for (const bucket of buckets) writer.double(bucket[at]);
    writer.ldelim();
  }
  writer.ldelim();
}
