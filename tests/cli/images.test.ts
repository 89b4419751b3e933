import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

/** Grey images of a bar each, whose place says the class. */
async function writeImages(folder: string, perClass: number, size = 16): Promise<void> {
  for (let label = 0; label < 10; label++) {
    mkdirSync(join(folder, String(label)), { recursive: true });
    for (let index = 0; index < perClass; index++) {
      const pixels = Buffer.alloc(size * size);
      for (let row = 0; row < size; row++) pixels[row * size + ((label + 3) % size)] = 200 + index;
      await sharp(pixels, { raw: { width: size, height: size, channels: 1 } })
        .png()
        .toFile(join(folder, String(label), `${index}.png`));
    }
  }
}

const lossesOf = (log: string): readonly number[] =>
  readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .filter(({ type }) => type === "step")
    .map(({ loss }) => loss);

describe("a folder of images by class", () => {
  it("is trained with, changed at random, and gone on with bit for bit", async () => {
    const cwd = temporaryFolder();
    await writeImages(join(cwd, "images"), 4);
    const train = (...more: readonly string[]) =>
      command(
        ["train", DIGITS, "--data", "images", "--batch-size", "8", "--lr", "0.01", "--seed", "3", "--force", ...more],
        { cwd },
      );
    const augment = ["--augment", "flip,crop=1,cutout=2"];
    const whole = await train("--epochs", "2", "--checkpoints", "whole", "--log", "whole.jsonl", ...augment);
    expect(whole.status, whole.stderr).toBe(0);
    expect(whole.stderr).toContain("images: 40 images in 10 classes, as grey");
    await train("--epochs", "1", "--checkpoints", "half", "--log", "half.jsonl", ...augment);
    const rest = await train(
      "--epochs",
      "2",
      "--resume",
      "half",
      "--checkpoints",
      "half",
      "--log",
      "rest.jsonl",
      ...augment,
    );
    expect(rest.status, rest.stderr).toBe(0);
    expect([...lossesOf(join(cwd, "half.jsonl")), ...lossesOf(join(cwd, "rest.jsonl"))]).toEqual(
      lossesOf(join(cwd, "whole.jsonl")),
    );
    const other = await train("--epochs", "3", "--resume", "half", "--augment", "flip");
    expect(other.status).toBe(8);
    expect(other.stderr).toContain("augment");
    const held = await train(
      "--epochs",
      "2",
      "--no-stream",
      "--checkpoints",
      "held",
      "--log",
      "held.jsonl",
      ...augment,
    );
    expect(held.status, held.stderr).toBe(0);
    expect(lossesOf(join(cwd, "held.jsonl"))).toEqual(lossesOf(join(cwd, "whole.jsonl")));
    const shown = await train("--epochs", "1", "--report", "report.html", "--tensorboard", "events");
    expect(shown.status, shown.stderr).toBe(0);
    expect(readFileSync(join(cwd, "report.html"), "utf8")).toMatch(
      /<ul class="pictures">.*?src="data:image\/png;base64,/s,
    );
    const [events = ""] = readdirSync(join(cwd, "events"));
    expect(readFileSync(join(cwd, "events", events), "latin1")).toMatch(/samples\/0.*\u0089PNG/s);
    const plain = await train("--epochs", "2", "--checkpoints", "plain", "--log", "plain.jsonl");
    expect(plain.status).toBe(0);
    expect(lossesOf(join(cwd, "plain.jsonl"))).not.toEqual(lossesOf(join(cwd, "whole.jsonl")));
  });

  it("may have what file managers leave; a folder that lacks a class is read with the classes given", async () => {
    const cwd = temporaryFolder();
    await writeImages(join(cwd, "images"), 2);
    for (const name of ["Thumbs.db", ".DS_Store", "desktop.ini"])
      writeFileSync(join(cwd, "images", "3", name), "left behind");
    const train = await command(["train", DIGITS, "--data", "images", "--checkpoints", "run", "--seed", "1"], { cwd });
    expect(train.status, train.stderr).toBe(0);
    const evaluate = async (...more: readonly string[]) =>
      command(["eval", DIGITS, "--data", "few", "--checkpoint", "run", "--json", ...more], { cwd });
    for (const label of ["2", "7"]) cpSync(join(cwd, "images", label), join(cwd, "few", label), { recursive: true });
    const refused = await evaluate();
    expect([refused.status, refused.stderr]).toEqual([5, expect.stringMatching(/E_CLASSES.*--classes 2,7,/)]);
    const all = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    const few = await evaluate("--classes", all.join(","));
    expect(few.status, few.stderr).toBe(0);
    const counts = (JSON.parse(few.stdout) as { confusion: readonly (readonly number[])[] }).confusion.map((row) =>
      row.reduce((sum, count) => sum + count, 0),
    );
    expect(counts.flatMap((count, label) => (count === 0 ? [] : [label]))).toEqual([2, 7]);
    const other = await evaluate("--classes", "2,8");
    expect([other.status, other.stderr]).toEqual([
      5,
      expect.stringMatching(/E_CLASSES.*the folder .*7.* is none of the classes/),
    ]);
  });

  it("of another size is scaled to what the model takes, which is said; a size that it does not take is refused", async () => {
    const cwd = temporaryFolder();
    await writeImages(join(cwd, "images"), 2, 20);
    const train = (...more: readonly string[]) =>
      command(["train", DIGITS, "--data", "images", "--checkpoints", "run", "--force", ...more], { cwd });
    for (const more of [[], ["--image-size", "16"], ["--image-size", "16x16", "--stream"]]) {
      const scaled = await train(...more);
      expect(scaled.status, scaled.stderr).toBe(0);
      expect(scaled.stderr).toContain("scaled to 16x16");
    }
    const refused = await train("--image-size", "12x16");
    expect([refused.status, refused.stderr.includes("12")]).toEqual([5, true]);
    expect((await train("--image-size", "0")).status).toBe(2);
  });

  it.each([["flip=2"], ["crop"], ["crop=1,crop=2"], ["spin"]])("with --augment %s is a usage error", async (list) => {
    expect((await command(["train", DIGITS, "--data", "x", "--augment", list])).status).toBe(2);
  });
});

describe("row 64: an image that is none", () => {
  const damaged: Readonly<Record<string, (png: Buffer) => Promise<Buffer>>> = {
    "cut off": async (png) => png.subarray(0, png.length - 20),
    "a JPEG that is cut off": async (png) => {
      const jpeg = await sharp(png).jpeg().toBuffer();
      return jpeg.subarray(0, Math.floor(jpeg.length * 0.8));
    },
    "of 16 bits": async () =>
      sharp(Buffer.alloc(512), { raw: { width: 16, height: 16, channels: 1 } })
        .toColourspace("grey16")
        .png()
        .toBuffer(),
    "of CMYK": async () =>
      sharp({ create: { width: 16, height: 16, channels: 3, background: "red" } })
        .toColourspace("cmyk")
        .jpeg()
        .toBuffer(),
    "said to have 100,000 by 100,000 pixels": async (png) => {
      const large = Buffer.from(png);
      large.writeUInt32BE(100_000, 16);
      large.writeUInt32BE(100_000, 20);
      return large;
    },
    empty: async () => Buffer.alloc(0),
    "a pointer of Git LFS": async () =>
      Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"),
    "an animated WebP": async () => {
      const frames = Buffer.alloc(2 * 16 * 16 * 3, 7).fill(200, 16 * 16 * 3);
      return sharp(frames, { raw: { width: 16, height: 32, channels: 3, pageHeight: 16 } })
        .webp({ loop: 0, delay: [100, 100] })
        .toBuffer();
    },
    "an animated PNG": async (png) => {
      /** acTL: two pictures, played for ever; its checksum is by zlib's crc32 of type and data. */
      const control = Buffer.from("000000086163544c0000000200000000f38d9370", "hex");
      return Buffer.concat([png.subarray(0, 33), control, png.subarray(33)]);
    },
    "transparent in places": async () =>
      sharp({ create: { width: 16, height: 16, channels: 4, background: { r: 1, g: 2, b: 3, alpha: 0.5 } } })
        .png()
        .toBuffer(),
    "a GIF by another name": async (png) => sharp(png).gif().toBuffer(),
  };

  it.each(Object.entries(damaged))("%s: exit code 5, and the file", async (_, damage) => {
    const cwd = temporaryFolder();
    await writeImages(join(cwd, "images"), 1);
    const file = join(cwd, "images", "3", "0.png");
    writeFileSync(file, await damage(readFileSync(file)));
    const { status, stderr } = await command(["train", DIGITS, "--data", "images", "--checkpoints", "run"], { cwd });
    expect(status, stderr).toBe(5);
    expect(stderr).toMatch(/E_IMAGE.*3\/0\.png/);
  });
});
