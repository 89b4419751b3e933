import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../../fixtures/optimizer.ts";
import { encodeModel } from "../../../src/entries/graph.ts";
import { insertAgr, readModel, writeModel } from "../../../src/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";

describe("what is no regular file of less than 2 GiB", () => {
  it("row 1, row 2, row 6, row 19: is refused, naming the path", async () => {
    const folder = temporaryFolder();
    execFileSync("mkfifo", [join(folder, "fifo")]);
    writeFileSync(join(folder, "empty.onnx"), "");
    writeFileSync(join(folder, "huge.onnx"), "");
    truncateSync(join(folder, "huge.onnx"), 2 ** 31);
    writeFileSync(join(folder, "huger.onnx"), "");
    truncateSync(join(folder, "huger.onnx"), 5 * 2 ** 30);
    const cases = [
      [join(folder, "missing.onnx"), "E_NO_FILE", /missing\.onnx: no such file/],
      [folder, "E_NO_FILE", /is a folder/],
      [join(folder, "fifo"), "E_NO_FILE", /not a regular file/],
      ["/dev/zero", "E_NO_FILE", /not a regular file/],
      [join(folder, "empty.onnx"), "E_NOT_ONNX", /an empty file/],
      [join(folder, "huge.onnx"), "E_MODEL_TOO_LARGE", /2147483648 bytes/],
      [join(folder, "huger.onnx"), "E_MODEL_TOO_LARGE", /5368709120 bytes/],
    ] as const;
    for (const [path, code, message] of cases) {
      const error = await rejectionOf(readModel(path));
      expect([error.code, error.exitCode, error.file]).toEqual([code, 3, path]);
      expect(error.message).toMatch(message);
    }
  });
});

describe("writing", () => {
  it("replaces the file as a whole and leaves nothing else in the folder", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "model.onnx");
    writeFileSync(path, "old");
    await writeModel(path, makeOptimizer());
    expect(Buffer.compare(readFileSync(path), encodeModel(makeOptimizer()))).toBe(0);
    expect(readdirSync(folder)).toEqual(["model.onnx"]);
  });

  it("goes through a symbolic link to the file behind it", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "real"));
    writeFileSync(join(folder, "real", "model.onnx"), "old");
    symlinkSync(join("real", "model.onnx"), join(folder, "link.onnx"));
    await writeModel(join(folder, "link.onnx"), makeOptimizer());
    expect(readdirSync(folder).sort()).toEqual(["link.onnx", "real"]);
    expect(readFileSync(join(folder, "real", "model.onnx")).length).toBe(encodeModel(makeOptimizer()).length);
  });

  it("that fails names the path and the cause", async () => {
    const error = await rejectionOf(writeModel(join(temporaryFolder(), "missing", "model.onnx"), makeOptimizer()));
    expect([error.code, error.exitCode]).toEqual(["E_FILE_SYSTEM", 6]);
    expect(error.message).toMatch(/cannot write .*model\.onnx: no such file or folder/);
  });

  it.skipIf(process.getuid?.() !== 0)(
    "to a full disk (needs root, to mount one) leaves the old file and no temporary one",
    () => {
      const folder = temporaryFolder();
      const script = `
      set -e
      mount -t tmpfs -o size=128k tmpfs "$1"
      echo old > "$1/model.onnx"
      status=0
      node --import tsx --input-type=module -e '
        import { attribute, GraphTensor, Graph, Value } from "./src/entries/graph.ts";
import { Model, writeModel } from "./src/index.ts";
        const model = new Model(8, new Graph("g"));
        model.opsets.set("", 17);
        const value = new Value("w");
        value.tensor = GraphTensor.from(1, [100000], new Float32Array(100000));
        model.graph.initializers.push(value);
        await writeModel(process.argv[1] + "/model.onnx", model).catch((error) => {
          console.log(error.code, error.message);
          process.exit(error.exitCode);
        });
      ' "$1" || status=$?
      cat "$1/model.onnx"; ls -A "$1"; echo "status $status"
    `;
      const output = execFileSync("unshare", ["-m", "bash", "-c", script, "bash", folder], { encoding: "utf8" });
      expect(output).toMatch(
        /^E_FILE_SYSTEM cannot write .*: no space left on the device\nold\nmodel\.onnx\nstatus 6\n$/,
      );
    },
  );
});

describe("the same model and options", () => {
  it("give the same bytes", async () => {
    const hash = async (): Promise<string> => {
      const path = join(temporaryFolder(), "model.onnx");
      const model = makeOptimizer();
      insertAgr(model, { count: 3 });
      await writeModel(path, model);
      return createHash("sha256").update(readFileSync(path)).digest("hex");
    };
    expect(await hash()).toBe(await hash());
  });
});
