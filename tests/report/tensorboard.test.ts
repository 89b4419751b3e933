import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { encodePng } from "../../src/report/png.ts";
import { crc32c, maskedCrc32c } from "../../src/report/tensorboard/crc32c.ts";
import { eventFileName, TensorBoardEncoder } from "../../src/report/tensorboard/encoder.ts";
import { HistogramCounter } from "../../src/runtime/statistics/histogram.ts";
import { decodeEvents } from "../support/event-file.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("crc32c", () => {
  it.each([
    // RFC 3720, B.4: bytes 0, bytes 0xff, ascending, descending; and the check value of the catalogue.
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(0xff), 0x62a8ab43],
    [Uint8Array.from({ length: 32 }, (_, at) => at), 0x46dd794e],
    [Uint8Array.from({ length: 32 }, (_, at) => 31 - at), 0x113fdb5c],
    [new TextEncoder().encode("123456789"), 0xe3069283],
  ])("is that of the RFC (%#)", (bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  it("is masked as in the files that TensorFlow writes: a first record is 24 bytes long", () => {
    expect(hex(new TensorBoardEncoder(() => 1.5e12).start()).slice(0, 24)).toBe("1800000000000000a37f4b22");
    expect(maskedCrc32c(Uint8Array.of(24, 0, 0, 0, 0, 0, 0, 0))).toBe(0x224b7fa3);
  });
});

describe("TensorBoardEncoder", () => {
  it("writes what a reader made from TensorFlow's schema reads", () => {
    let now = 1_700_000_000_000;
    const encoder = new TensorBoardEncoder(() => now++);
    const counter = new HistogramCounter();
    for (const value of [-2, 0.5, 0.5, 3]) counter.add(value);
    const parameter = {
      ...{ parameter: "fc.weight", shape: [4], norm: 2, sum: 6, largest: 3, nonZero: 4, finite: true },
      ...{ largestAlpha: 0.5, change: 0.25, gradient: counter.histogram, alpha: counter.histogram },
    };
    const file = Buffer.concat([
      encoder.start(),
      encoder.encode({ type: "step", step: 7, epoch: 0, loss: 1.25, learningRate: 0.5, seconds: 1, samples: 8 }),
      encoder.encode({
        ...{ type: "statistics", step: 7, epoch: 0, gradientNorm: 2, seconds: 1 },
        parameters: [parameter],
      }),
      encoder.encode({ type: "epoch", epoch: 0, steps: 7, loss: 1.5, seconds: 2 }),
      encoder.scalars({ "validation/loss": 1.75 }),
      encoder.images("samples", [{ width: 2, height: 1, channels: 3, data: Uint8Array.of(255, 0, 0, 0, 0, 255) }]),
    ]);
    const [first, step, statistics, epoch, validation, images, ...more] = decodeEvents(file);
    expect(more).toEqual([]);
    expect(first).toMatchObject({ fileVersion: "brain.Event:2", wallTime: 1_700_000_000 });
    expect(step).toMatchObject({
      ...{ wallTime: 1_700_000_000.001, step: 7 },
      summary: {
        value: [
          { tag: "train/loss", simpleValue: 1.25 },
          { tag: "train/learning_rate", simpleValue: 0.5 },
        ],
      },
    });
    expect(epoch?.summary?.value[0]).toMatchObject({ tag: "epoch/loss", simpleValue: 1.5 });
    expect(validation).toMatchObject({ step: 7, summary: { value: [{ tag: "validation/loss", simpleValue: 1.75 }] } });
    const tags = statistics?.summary?.value.map(({ tag }) => tag);
    expect(tags).toEqual([
      ...["gradients/norm", "gradient_norm/fc.weight", "agr_largest_alpha/fc.weight", "agr_change/fc.weight"],
      ...["gradient/fc.weight", "alpha/fc.weight"],
    ]);
    const histogram = statistics?.summary?.value[4]?.histo;
    expect(histogram).toMatchObject({ min: -2, max: 3, num: 4, sum: 2, sumSquares: 13.5 });
    expect(histogram?.bucketLimit).toHaveLength(histogram?.bucket.length ?? 0);
    expect(histogram?.bucket.reduce((sum, count) => sum + count, 0)).toBe(4);
    const at = histogram?.bucket.indexOf(2) ?? -1;
    expect(histogram?.bucketLimit[at]).toBeGreaterThanOrEqual(0.5);
    expect(histogram?.bucketLimit[at - 1]).toBeLessThan(0.5);
    const image = images?.summary?.value[0]?.image;
    expect(image).toMatchObject({ height: 1, width: 2, colorspace: 3 });
    expect(image?.encodedImageString.subarray(1, 4).toString()).toBe("PNG");
  });

  it("is not read where a byte is another", () => {
    const file = Buffer.from(new TensorBoardEncoder().start());
    for (const at of [0, 8, 12, file.length - 1]) {
      const damaged = Buffer.from(file);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      expect(() => decodeEvents(damaged), String(at)).toThrow();
    }
  });

  it("names its files so that TensorBoard finds them, in the order they were begun", () => {
    expect(eventFileName(1_700_000_000_123, 4711)).toBe("events.out.tfevents.1700000000.onnx-agr.4711.123");
  });
});

describe("encodePng", () => {
  it("has the pixels, row by row, with no filter", () => {
    const png = Buffer.from(encodePng({ width: 2, height: 2, channels: 1, data: Uint8Array.of(1, 2, 3, 4) }));
    const idat = png.indexOf("IDAT");
    const length = png.readUInt32BE(idat - 4);
    expect([...inflateSync(png.subarray(idat + 4, idat + 4 + length))]).toEqual([0, 1, 2, 0, 3, 4]);
    expect([png.readUInt32BE(16), png.readUInt32BE(20), png[24], png[25]]).toEqual([2, 2, 8, 0]);
  });
});
