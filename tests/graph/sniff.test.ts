import { describe, expect, it } from "vitest";
import { decodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { errorOf } from "../support/errors.ts";

const text = (content: string): Uint8Array => new TextEncoder().encode(content);

/** The beginning of a zip archive: the header of its first entry. */
const archive = (name: string): Uint8Array =>
  text(`PK\u0003\u0004${"\0".repeat(22)}${String.fromCharCode(name.length)}\0\0\0${name}`);

const FILES: readonly (readonly [what: string, bytes: Uint8Array, message: string])[] = [
  ["row 2: an empty file", new Uint8Array(), "an empty file is not an ONNX model"],
  [
    "row 3: a Git LFS pointer",
    text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n"),
    "Git LFS pointer",
  ],
  ["row 4: an HTML page", text("<!DOCTYPE html><html>404</html>"), "an HTML page"],
  ["row 4: an HTML page after a blank line", text("\n <html>"), "an HTML page"],
  ["row 4: JSON", text('{"error": "not found"}'), "JSON"],
  ["row 5: gzip", Uint8Array.of(0x1f, 0x8b, 8, 0), "gzip"],
  ["row 5: a program of torch.export.save", archive("m/data/weights/weight_0"), "a file of PyTorch"],
  ["row 5: what torch.save wrote", archive("model/data.pkl"), "a file of PyTorch"],
  ["row 5: a zip archive of other files", archive("model/model.onnx"), "a zip archive"],
  ["row 5: a zip archive", text("PK\u0003\u0004rest"), "zip"],
  ["row 5: an .ort file", text("\u0008\0\0\0ORTM"), "ORTM"],
  ["row 5: a checkpoint", text("\u000c\0\0\0ODTC"), "ODTC"],
  ["row 5: safetensors", encodeSafetensors([{ name: "x", tensor: GraphTensor.floats([1], [1]) }]), "safetensors"],
  ["row 5: a pickle", Uint8Array.of(0x80, 2, 0x7d), "pickle"],
];

describe("files that are no models are refused by what they are", () => {
  it.each(FILES)("%s", (_, bytes, message) => {
    const error = errorOf(() => decodeModel(bytes));
    expect([error.code, error.exitCode]).toEqual(["E_NOT_ONNX", 3]);
    expect(error.message).toContain(message);
  });
});
