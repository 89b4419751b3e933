import { DataError, UsageError } from "../../errors.ts";
import { readRegularFile } from "../../graph/io/read-file.ts";
import { mistaken } from "../../graph/sniff.ts";

/** Pixels of an image, at most: what is larger is refused before it is decoded. */
const MAX_PIXELS = 2 ** 26;
const MAX_FILE_BYTES = 2 ** 28;
const FORMATS = new Set(["png", "jpeg", "webp"]);

export interface ImageTarget {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly isResized: boolean;
}

export interface ImageReader {
  /** As the image is shown: after its orientation. */
  readonly sizeOf: (path: string) => Promise<{ channels: number; height: number; width: number }>;
  /** Bytes in the order channel, row, column. */
  readonly pixelsOf: (path: string, target: ImageTarget) => Promise<Uint8Array>;
}

type Sharp = typeof import("sharp")["default"];

/**
 * Reads images by sharp, whose threads decode beside the steps.
 * @throws UsageError `E_NO_SHARP` where it is not installed
 */
export async function imageReader(): Promise<ImageReader> {
  const sharp = await loadSharp();
  return {
    sizeOf: async (path) => {
      const { header } = await opened(sharp, path);
      const isGrey = header.channels < 3;
      return { channels: isGrey ? 1 : 3, height: header.height, width: header.width };
    },
    pixelsOf: (path, target) => pixelsOf(sharp, path, target),
  };
}

async function loadSharp(): Promise<Sharp> {
  try {
    return (await import("sharp")).default;
  } catch (cause) {
    throw new UsageError("E_NO_SHARP", "images are decoded by the package sharp, which cannot be loaded", {
      hint: "Install it: npm install sharp.",
      cause,
    });
  }
}

const fail = (path: string, reason: string, hint: string, cause?: unknown): DataError =>
  new DataError("E_IMAGE", `${path}: ${reason}`, { file: path, hint, cause });

/** @throws DataError `E_IMAGE` for what is damaged, too large, or of a kind whose numbers would not be what they seem */
async function opened(sharp: Sharp, path: string) {
  const bytes = await readRegularFile(path, MAX_FILE_BYTES, () =>
    fail(path, "the file has more than 256 MiB", "Store the image smaller."),
  );
  if (bytes.length === 0) throw fail(path, "the file is empty", "Fetch it again.");
  const other = mistaken(bytes);
  if (other !== null) throw fail(path, `this is ${other.what}`, other.hint);
  /** Warnings of the decoder are errors: a file that is cut off would be grey from there on. */
  const image = sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: "warning" });
  const found = await image.metadata().catch((cause: unknown) => {
    throw damaged(path, cause);
  });
  const { format, space, depth, pages = 1, hasAlpha, autoOrient } = found;
  if (!FORMATS.has(format)) throw fail(path, `the image is ${format}`, "Convert it to PNG, JPEG or WebP.");
  if (autoOrient.width * autoOrient.height > MAX_PIXELS) {
    throw fail(
      path,
      `the image has ${found.width}x${found.height} pixels, more than ${MAX_PIXELS}`,
      "Store it smaller.",
    );
  }
  if (depth !== "uchar")
    throw fail(
      path,
      `the image has ${depth === "ushort" ? "16 bits" : depth} per channel, and 8 are read`,
      "Convert it to 8 bits, or give the numbers as .npy.",
    );
  if (space !== "srgb" && space !== "b-w")
    throw fail(
      path,
      `the image is in ${space.toUpperCase()}, not in RGB or grey`,
      "Convert it to RGB: convert <file> -colorspace sRGB <file>.",
    );
  if (pages > 1 || isFilm(bytes))
    throw fail(path, `the image is a film of ${pages > 1 ? pages : "several"} pictures`, "Store one picture per file.");
  const channels = found.channels - (hasAlpha ? 1 : 0);
  return { image, header: { channels, hasAlpha, width: autoOrient.width, height: autoOrient.height } };
}

/** Of an animated PNG the decoder gives the first picture, and does not say that there are others. */
const isFilm = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x89 && Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4096)).includes("acTL");

const damaged = (path: string, cause: unknown): DataError => {
  const [reason = ""] = (cause instanceof Error ? cause.message : String(cause)).split("\n");
  const isLarge = /pixel limit/i.test(reason);
  return isLarge
    ? fail(path, `the image has more than ${MAX_PIXELS} pixels`, "Store it smaller.", cause)
    : fail(path, `the image cannot be decoded: ${reason}`, "It is damaged; fetch it again, or take it away.", cause);
};

async function pixelsOf(sharp: Sharp, path: string, target: ImageTarget): Promise<Uint8Array> {
  const { image, header } = await opened(sharp, path);
  const { channels, height, width, isResized } = target;
  const isOther = header.width !== width || header.height !== height;
  if (isOther && !isResized) {
    throw fail(
      path,
      `the image has ${header.width}x${header.height} pixels, the first one ${width}x${height}`,
      `Have all scaled: --image-size ${height}x${width} (imageSize).`,
    );
  }
  const upright = image.autoOrient();
  const sized = isOther ? upright.resize(width, height, { fit: "fill" }) : upright;
  const coloured = channels === 1 ? sized.toColourspace("b-w") : sized.toColourspace("srgb");
  const { data, info } = await (channels === 4 ? coloured.ensureAlpha() : coloured)
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      throw damaged(path, cause);
    });
  if (header.hasAlpha && channels !== 4) requireOpaque(path, data, info.channels);
  return channelsFirst(data, info.channels, channels, height * width);
}

/** What lies behind a pixel that is seen through is not in the file. */
function requireOpaque(path: string, data: Uint8Array, channels: number): void {
  for (let at = channels - 1; at < data.length; at += channels) {
    if (data[at] !== 255)
      throw fail(
        path,
        "the image is transparent in places",
        "Put it on a background: convert <file> -background black -flatten <file>.",
      );
  }
}

function channelsFirst(data: Uint8Array, given: number, wanted: number, pixels: number): Uint8Array {
  const bytes = new Uint8Array(wanted * pixels);
  for (let channel = 0; channel < wanted; channel++) {
    /** Grey is all colours; how opaque a pixel is comes last. */
    const from = channel === 3 ? given - 1 : given < 3 ? 0 : channel;
    for (let pixel = 0; pixel < pixels; pixel++) bytes[channel * pixels + pixel] = data[pixel * given + from] ?? 0;
  }
  return bytes;
}
