import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { describeData, openData } from "../../src/entries/run.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

interface Told {
  readonly sheet: {
    readonly width: number;
    readonly height: number;
    readonly tensor: string;
    readonly leftOut: number;
    readonly rows: readonly { readonly label: number | null; readonly samples: readonly number[] }[];
  };
}

/** What `data --sheet` says, and the picture as sharp reads it. */
async function sheetOf(cwd: string, data: string, ...more: readonly string[]) {
  const { status, stdout, stderr } = await command(["data", data, "--sheet", "sheet.png", "--json", ...more], { cwd });
  expect(status, stderr).toBe(0);
  const { data: pixels, info } = await sharp(readFileSync(join(cwd, "sheet.png")))
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { sheet } = JSON.parse(stdout) as Told;
  expect([info.width, info.height, info.channels]).toEqual([sheet.width, sheet.height, 3]);
  return {
    sheet,
    at: (x: number, y: number) => [...pixels.subarray(3 * (y * info.width + x), 3 * (y * info.width + x) + 3)],
  };
}

const safetensors = (
  cwd: string,
  dtype: number,
  dims: readonly number[],
  values: Float32Array | Uint8Array,
): string => {
  writeFileSync(
    join(cwd, "x.safetensors"),
    encodeSafetensors([{ name: "x", tensor: GraphTensor.from(dtype, dims, values) }]),
  );
  return "x.safetensors";
};

describe("a contact sheet", () => {
  it("has a row for each class, its number before it, and the pixels of the samples", async () => {
    const cwd = temporaryFolder();
    const labels = Uint8Array.from([1, 0, 1, 3, 1]);
    const images = Uint8Array.from(
      { length: 5 * 64 },
      (_, index) => (10 * Math.floor(index / 64) + (index % 64)) & 255,
    );
    const idx = (dims: readonly number[], content: Uint8Array): Uint8Array =>
      Uint8Array.from([0, 0, 8, dims.length, ...dims.flatMap((dim) => [0, 0, 0, dim]), ...content]);
    writeFileSync(join(cwd, "images.idx.gz"), gzipSync(idx([5, 8, 8], images)));
    writeFileSync(join(cwd, "labels.idx.gz"), gzipSync(idx([5], labels)));
    const { sheet, at } = await sheetOf(cwd, "images.idx.gz,labels.idx.gz");
    expect(sheet).toMatchObject({
      tensor: "images",
      leftOut: 0,
      rows: [
        { label: 0, samples: [1] },
        { label: 1, samples: [0, 2, 4] },
        { label: 3, samples: [3] },
      ],
    });
    // Each picture is eight times as large, with two pixels between, behind a margin of 36 for the number.
    for (const [row, { samples }] of sheet.rows.entries()) {
      for (const [column, sample] of samples.entries()) {
        for (const [x, y] of [
          [0, 0],
          [7, 0],
          [3, 5],
          [7, 7],
        ] as const) {
          const value = images[sample * 64 + y * 8 + x] ?? -1;
          expect(at(36 + 2 + column * 66 + 8 * x + 4, 2 + row * 66 + 8 * y + 4)).toEqual([value, value, value]);
        }
      }
    }
    // The 1 and the 3 differ in their upper left corner; the middle of the row is white in some point of both.
    const drawn = (row: number) =>
      Array.from(
        { length: 36 * 12 },
        (_, index) => at(index % 36, 2 + row * 66 + 27 + Math.floor(index / 36))[0] === 255,
      );
    expect(drawn(1).filter(Boolean).length).toBeGreaterThan(16);
    expect(drawn(2)).not.toEqual(drawn(1));
  });

  it("shows colours, channels first or last, and floats from the least, black, to the greatest, white", async () => {
    const cwd = temporaryFolder();
    const bytes = Uint8Array.from({ length: 3 * 48 }, (_, index) => index);
    const first = await sheetOf(cwd, safetensors(cwd, DataType.uint8, [1, 3, 4, 12], bytes));
    expect(first.sheet.rows).toEqual([{ label: null, samples: [0] }]);
    expect(first.at(2, 2)).toEqual([0, 48, 96]);
    const last = await sheetOf(cwd, safetensors(cwd, DataType.uint8, [1, 6, 8, 3], bytes), "--force");
    expect(last.at(2 + 8 * 7 + 1, 2 + 8 * 5 + 1)).toEqual([141, 142, 143]);
    const floats = Float32Array.from({ length: 2 * 16 }, (_, index) => index - 8);
    const doubles = GraphTensor.from(DataType.double, [2, 4, 4], Float64Array.from(floats));
    const y = GraphTensor.from(DataType.int64, [2], BigInt64Array.of(5n, 4n));
    writeFileSync(
      join(cwd, "xy.safetensors"),
      encodeSafetensors([
        { name: "x", tensor: doubles },
        { name: "y", tensor: y },
      ]),
    );
    const { sheet } = await sheetOf(cwd, "xy.safetensors", "--force");
    expect(sheet.rows).toEqual([
      { label: 4, samples: [1] },
      { label: 5, samples: [0] },
    ]);
    const grey = await sheetOf(cwd, safetensors(cwd, DataType.float, [2, 4, 4], floats), "--force");
    expect(grey.at(3, 3)).toEqual([0, 0, 0]);
    expect(grey.at(2 + 66 + 63, 2 + 63)).toEqual([255, 255, 255]);
    expect(grey.at(2 + 66, 2)).toEqual(new Array(3).fill(Math.round((255 * 16) / 31)));
  });

  it("is drawn of folders of images, larger ones smaller, with the names of the classes said", async () => {
    const cwd = temporaryFolder();
    for (const [label, colour] of Object.entries({ cat: "#ff0000", dog: "#0000ff" })) {
      mkdirSync(join(cwd, "pets", label), { recursive: true });
      for (const [index, width] of [300, 200].entries())
        await sharp({ create: { width, height: 200, channels: 3, background: colour } })
          .png()
          .toFile(join(cwd, "pets", label, `${index}.png`));
    }
    mkdirSync(join(cwd, "all", "train"), { recursive: true });
    const parts = await command(["data", "all"], { cwd });
    expect([parts.status, parts.stderr]).toEqual([5, expect.stringContaining(`--data ${join("all", "train")}`)]);
    const refused = await command(["data", "pets"], { cwd });
    expect([refused.status, refused.stderr]).toEqual([5, expect.stringContaining("--image-size 200x300")]);
    const { sheet, at } = await sheetOf(cwd, "pets", "--image-size", "200x300");
    expect(sheet.rows.map(({ samples }) => samples.length)).toEqual([2, 2]);
    expect(at(sheet.width - 10, 10)).toEqual([255, 0, 0]);
    expect(at(sheet.width - 10, sheet.height - 10)).toEqual([0, 0, 255]);
    const { stdout } = await command(["data", "pets", "--image-size", "64", "--sheet", "sheet.png", "--force"], {
      cwd,
    });
    expect(stdout).toMatch(/sheet\.png: 4 samples of images, .*a row for each class, from above cat, dog/);
  });

  it("is refused where nothing is a picture, and never replaces a file unasked", async () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "t.csv"), "a,b,label\n1,2,0\n2,1,1\n");
    const none = await command(["data", "t.csv", "--sheet", "sheet.png"], { cwd });
    expect([none.status, none.stderr]).toEqual([5, expect.stringMatching(/E_SHEET.*features \[2,2\], labels \[2\]/)]);
    writeFileSync(join(cwd, "sheet.png"), "mine");
    const there = await command(["data", "t.csv", "--sheet", "sheet.png"], { cwd });
    expect([there.status, there.stderr]).toEqual([2, expect.stringMatching(/E_OUTPUT_EXISTS/)]);
    expect(readFileSync(join(cwd, "sheet.png"), "utf8")).toBe("mine");
  });
});

describe("what data says", () => {
  it("are the mean and deviation per channel that --normalize takes", async () => {
    const cwd = temporaryFolder();
    const values = Uint8Array.from({ length: 2 * 3 * 16 }, (_, index) => [0, 51, 102][Math.floor(index / 16) % 3] ?? 0);
    values[0] = 255;
    const { stdout } = await command(["data", safetensors(cwd, DataType.uint8, [2, 3, 4, 4], values)], { cwd });
    // The first channel: one of 32 is 1, the others 0: 1/32, and the root of 1/32 - 1/1024.
    expect(stdout).toContain('after 1/255: --normalize "0.0313 0.2000 0.4000,0.1740 0.0000 0.0000"');
  });

  it("of float16 are its numbers, not their bits", async () => {
    const cwd = temporaryFolder();
    const tensor = GraphTensor.from(DataType.float16, [3], Uint16Array.of(0x3c00, 0xc000, 0x7e00));
    writeFileSync(join(cwd, "x.safetensors"), encodeSafetensors([{ name: "x", tensor }]));
    const { stdout } = await command(["data", "x.safetensors"], { cwd });
    expect(stdout).toBe("x: float16 [3], -2 to 1, mean -0.5000, deviation 1.500, 1 of them NaN or infinite\n");
  });

  it("are the same of samples that stay in their file, and lose no digits far from zero", async () => {
    const cwd = temporaryFolder();
    const values = Float32Array.from({ length: 3000 }, (_, index) => 1e6 + Math.sin(index));
    const path = join(cwd, safetensors(cwd, DataType.float, [1000, 3], values));
    const mean = values.reduce((sum, value) => sum + value, 0) / 3000;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 3000);
    const streamed = await openData(path, { stream: true });
    expect(streamed.streamed?.has("x")).toBe(true);
    const [described] = await describeData(streamed);
    expect(await describeData(await openData(path, { stream: false }))).toEqual([described]);
    expect(described?.moments?.mean[0]).toBeCloseTo(mean, 6);
    expect(described?.moments?.std[0]).toBeCloseTo(deviation, 6);
  });
});
