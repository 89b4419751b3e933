import { FormatError } from "../errors.ts";

interface Signature {
  readonly what: string;
  readonly hint: string;
  /** It stands where a file of any kind should be. */
  readonly isNoFile?: true;
  readonly matches: (bytes: Uint8Array, head: string) => boolean;
}

const EXPORT = "Give the .onnx file itself.";
const startsWith =
  (text: string) =>
  (_: Uint8Array, head: string): boolean =>
    head.startsWith(text);

/** The header of an archive's first entry begins so, and the entry's name is 30 bytes behind. */
const ZIP = "PK\u0003\u0004";

/** Files people pass for a model, by how they begin. None of these beginnings is a valid ModelProto. */
const SIGNATURES: readonly Signature[] = [
  {
    what: "a Git LFS pointer, not the file itself",
    hint: "Run `git lfs pull`.",
    isNoFile: true,
    matches: startsWith("version https://git-lfs"),
  },
  {
    what: "an HTML page",
    hint: "The download saved an error page; download the file again.",
    isNoFile: true,
    matches: (_, head) => /^\s*<(!doctype|html)/i.test(head),
  },
  {
    what: "JSON text",
    hint: "The download saved an error message, or this is another file; give the .onnx file.",
    matches: (_, head) => /^\s*[{[]\s*["\]}]/.test(head),
  },
  { what: "gzip-compressed", hint: "Unpack it first.", matches: (bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b },
  {
    what: "a file of PyTorch (.pt or .pt2)",
    hint: 'Export the model with torch.onnx.export; of a .pt2 file, torch.onnx.export(torch.export.load("model.pt2"), dynamo=True).save("model.onnx") makes an ONNX file.',
    matches: (bytes, head) =>
      startsWith(ZIP)(bytes, head) && /^[^/]*\/(data\.pkl|data\/weights\/|archive_format)/.test(head.slice(30)),
  },
  {
    what: "a zip archive (or a PyTorch checkpoint)",
    hint: "Unpack it, or export the model to ONNX first.",
    matches: startsWith(ZIP),
  },
  {
    what: "ONNX Runtime's .ort format (ORTM)",
    hint: "Give the .onnx model it was converted from.",
    matches: (_, head) => head.slice(4, 8) === "ORTM",
  },
  {
    what: "an ONNX Runtime training checkpoint (ODTC)",
    hint: EXPORT,
    matches: (_, head) => head.slice(4, 8) === "ODTC",
  },
  {
    what: "a safetensors file",
    hint: EXPORT,
    matches: (_, head) => head.charCodeAt(8) === 0x7b && head.slice(4, 8) === "\0\0\0\0" && head.charCodeAt(9) === 0x22,
  },
  {
    what: "a Python pickle",
    hint: "Export the model to ONNX first.",
    matches: (bytes) => bytes[0] === 0x80 && bytes[1] === 2,
  },
];

/** What stands in the place of a file that was not fetched, whatever the file should be; null for anything else. */
export function mistaken(bytes: Uint8Array): Pick<Signature, "what" | "hint"> | null {
  return recognise(
    bytes,
    SIGNATURES.filter(({ isNoFile }) => isNoFile === true),
  );
}

function recognise(bytes: Uint8Array, signatures: readonly Signature[]): Signature | null {
  const head = String.fromCharCode(...bytes.subarray(0, 64));
  return signatures.find(({ matches }) => matches(bytes, head)) ?? null;
}

/** @throws FormatError `E_NOT_ONNX` for an empty file and for other kinds of file, naming the kind. */
export function sniff(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new FormatError("E_NOT_ONNX", "an empty file is not an ONNX model");
  const found = recognise(bytes, SIGNATURES);
  if (found !== null) throw new FormatError("E_NOT_ONNX", `this is ${found.what}`, { hint: found.hint });
}
