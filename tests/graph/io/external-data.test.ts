import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hasExternalData, readExternalTensors } from "../../../src/entries/graph.ts";
import type { ModelProto, TensorProto } from "../../../src/graph/proto/schema.ts";
import { readModel, writeModel } from "../../../src/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";
import { encodeProto } from "../serde/full-model.ts";

const entries = (values: Readonly<Record<string, string>>): { key: string; value: string }[] =>
  Object.entries(values).map(([key, value]) => ({ key, value }));
const external = (name: string, values: Readonly<Record<string, string>>): TensorProto => ({
  name,
  dims: [2n],
  dataType: 1,
  externalData: entries(values),
  dataLocation: 1,
});
const withTensors = (...initializer: TensorProto[]): ModelProto => ({
  irVersion: 8n,
  opsetImport: [{ version: 17n }],
  graph: { name: "g", initializer },
});

/** A folder with a model and its data file of 4096 floats. */
function place(model: ModelProto, folder = temporaryFolder()): string {
  writeFileSync(
    join(folder, "weights.bin"),
    new Uint8Array(Float32Array.from({ length: 4096 }, (_, index) => index).buffer),
  );
  writeFileSync(join(folder, "model.onnx"), encodeProto(model));
  return join(folder, "model.onnx");
}

describe("external data", () => {
  it("are not read until asked for", async () => {
    const model = await readModel(
      place(withTensors(external("w", { location: "weights.bin", offset: "8", length: "8" }))),
    );
    const [value] = model.graph.initializers;
    expect(hasExternalData(model)).toBe(true);
    expect(() => value?.tensor?.values()).toThrow(/have not been read/);
    await readExternalTensors(model);
    expect([...(value?.tensor?.values() ?? [])]).toEqual([2, 3]);
  });

  it("go with the model, in a file of its name, the layout as it was", async () => {
    const path = place(
      withTensors(
        external("a", { location: "weights.bin", offset: "4096", length: "8" }),
        external("b", { location: "weights.bin", length: "8" }),
      ),
    );
    const target = join(temporaryFolder(), "copy.onnx");
    const model = await readModel(path);
    await writeModel(target, model);
    const copy = await readModel(target);
    expect(readdirSync(join(target, "..")).sort()).toEqual(["copy.onnx", "copy.onnx.data"]);
    await readExternalTensors(copy);
    expect(copy.graph.initializers.map(({ tensor }) => [...(tensor?.values() ?? [])])).toEqual([
      [1024, 1025],
      [0, 1],
    ]);
    const again = await readModel(target);
    const bytes = readFileSync(target);
    await writeModel(target, again);
    expect(Buffer.compare(readFileSync(target), bytes)).toBe(0);
  });

  it("of several files are put into one", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "other.bin"), new Uint8Array(Float32Array.of(7, 8).buffer));
    const path = place(
      withTensors(
        external("a", { location: "weights.bin", offset: "8", length: "8" }),
        external("b", { location: "other.bin" }),
      ),
      folder,
    );
    const target = join(temporaryFolder(), "copy.onnx");
    await writeModel(target, await readModel(path));
    const copy = await readModel(target);
    await readExternalTensors(copy);
    expect(copy.graph.initializers.map(({ tensor }) => [...(tensor?.values() ?? [])])).toEqual([
      [2, 3],
      [7, 8],
    ]);
  });

  it("row 39: of a Hugging Face cache, where model and data are links into one folder, work", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "blobs"));
    mkdirSync(join(folder, "snapshots"));
    const path = place(withTensors(external("w", { location: "weights.bin", length: "8" })), join(folder, "blobs"));
    renameSync(path, join(folder, "blobs", "abc"));
    renameSync(join(folder, "blobs", "weights.bin"), join(folder, "blobs", "def"));
    symlinkSync(join("..", "blobs", "abc"), join(folder, "snapshots", "model.onnx"));
    symlinkSync(join("..", "blobs", "def"), join(folder, "snapshots", "weights.bin"));
    const model = await readModel(join(folder, "snapshots", "model.onnx"));
    await readExternalTensors(model);
    expect([...(model.graph.initializers[0]?.tensor?.values() ?? [])]).toEqual([0, 1]);
  });

  it("row 42: of unknown keys are read by the known ones, first come", async () => {
    const tensor = external("w", {
      location: "weights.bin",
      offset: "8",
      length: "8",
      __proto__x: "1",
      __class__: "2",
      basepath: "/etc",
    });
    const path = place(
      withTensors({
        ...tensor,
        externalData: [...(tensor.externalData ?? []), { key: "location", value: "../secret" }],
      }),
    );
    await expect(readModel(path)).resolves.toBeDefined();
  });

  const LOCATIONS = [
    "../x",
    "a/../../x",
    "/etc/passwd",
    "C:\\x",
    "\\\\srv\\x",
    "",
    "a\0b",
    "x".repeat(1_000_000),
    "*/_ORT_MEM_ADDR_/*",
  ];

  it.each(LOCATIONS.map((location) => [location.slice(0, 30), location]))(
    "row 37, row 43: at %j are refused",
    async (_, location) => {
      const error = await rejectionOf(readModel(place(withTensors(external("w", { location })))));
      expect([error.code, error.exitCode, error.field]).toEqual(["E_EXTERNAL_PATH", 3, "w"]);
    },
  );

  it("row 38: behind a link that leads out of the folder are refused, by the file or by a folder above it", async () => {
    const outside = temporaryFolder();
    writeFileSync(join(outside, "secret"), new Uint8Array(64));
    for (const [link, location] of [
      ["secret", "secret"],
      ["folder", "folder/secret"],
    ] as const) {
      const path = place(withTensors(external("w", { location })));
      symlinkSync(link === "folder" ? outside : join(outside, "secret"), join(path, "..", link));
      expect((await rejectionOf(readModel(path))).code).toBe("E_EXTERNAL_PATH");
    }
  });

  it("row 45: in a folder that another process exchanges for a link to elsewhere are its own or none", async () => {
    const [folder, outside] = [temporaryFolder(), temporaryFolder()];
    const path = place(withTensors(external("w", { location: "sub/weights.bin", length: "8" })), folder);
    mkdirSync(join(folder, "sub"));
    for (const [where, value] of [
      [join(folder, "sub"), 1],
      [outside, 2],
    ] as const)
      writeFileSync(join(where, "weights.bin"), new Uint8Array(Float32Array.of(value, value).buffer));
    const script = `const fs = require("fs"); for (;;) {
      fs.renameSync("sub", "away"); fs.symlinkSync(process.argv[1], "sub"); fs.unlinkSync("sub"); fs.renameSync("away", "sub"); }`;
    const swapper = spawn(process.execPath, ["-e", script, outside], { cwd: folder });
    const seen = new Set<unknown>();
    try {
      await once(swapper, "spawn");
      for (const end = performance.now() + 2000; performance.now() < end; ) {
        const read = async (): Promise<unknown> => {
          const model = await readModel(path);
          await readExternalTensors(model);
          return model.graph.initializers[0]?.tensor?.values()[0];
        };
        seen.add(await read().catch((error: unknown) => (error as { readonly exitCode?: number }).exitCode ?? error));
      }
    } finally {
      swapper.kill("SIGKILL");
      await once(swapper, "close");
    }
    expect([...seen].filter((each) => each !== 1 && each !== 3)).toEqual([]);
    expect(seen).toContain(3);
  });

  it("that are missing name the file", async () => {
    const error = await rejectionOf(readModel(place(withTensors(external("w", { location: "gone.bin" })))));
    expect(error.code).toBe("E_EXTERNAL_MISSING");
    expect(error.message).toContain("gone.bin");
  });

  it.each([
    ["offset", "-1"],
    ["offset", "1e3"],
    ["offset", "0x10"],
    ["length", "18446744073709551616"],
    ["length", "1152921504606846976"],
    ["length", "nine"],
    ["offset", "16383"],
  ])("row 41: with %s %s are refused, naming the tensor", async (key, value) => {
    const values = { location: "weights.bin", ...(key === "offset" ? { length: "8" } : {}), [key]: value };
    const error = await rejectionOf(readModel(place(withTensors(external("w", values)))));
    expect(error.exitCode).toBe(3);
    expect(error.message).toContain('"w"');
  });

  it("row 44: in attributes, sparse tensors, functions and training_info are held to the same", async () => {
    const bad = external("bad", { location: "../x" });
    const constant = { opType: "Constant", output: ["c"], name: "n", attribute: [{ name: "value", type: 4, t: bad }] };
    const sparse = { values: bad, indices: { dims: [1n], dataType: 7, rawData: new Uint8Array(8) }, dims: [4n] };
    const base = { irVersion: 8n, opsetImport: [{ version: 17n }] };
    const models: readonly ModelProto[] = [
      { ...base, graph: { node: [constant] } },
      { ...base, graph: { sparseInitializer: [sparse] } },
      { ...base, graph: { node: [{ ...constant, attribute: [{ name: "s", type: 11, sparseTensor: sparse }] }] } },
      {
        ...base,
        graph: { node: [{ opType: "If", attribute: [{ name: "then_branch", type: 5, g: { node: [constant] } }] }] },
      },
      { ...base, graph: {}, functions: [{ name: "F", domain: "d", node: [constant] }] },
      { ...base, graph: {}, trainingInfo: [{ algorithm: { initializer: [bad] } }] },
    ];
    for (const model of models) expect((await rejectionOf(readModel(place(model)))).code).toBe("E_EXTERNAL_PATH");
  });

  it("row 40: reached by a hard link work and are told, and are refused where that was asked for", async () => {
    const folder = temporaryFolder();
    const path = place(withTensors(external("w", { location: "linked.bin", length: "8" })), folder);
    linkSync(join(folder, "weights.bin"), join(folder, "linked.bin"));
    const warned = once(process, "warning");
    await expect(readModel(path)).resolves.toBeDefined();
    expect(await warned).toMatchObject([
      { code: "W_EXTERNAL_DATA", message: expect.stringMatching(/linked\.bin is a hard link/) },
    ]);
    expect(await rejectionOf(readModel(path, { strict: true }))).toMatchObject({ code: "E_EXTERNAL_ODD", exitCode: 3 });
  });

  it("row 46: that do not have the SHA-1 the model gives are refused", async () => {
    const folder = temporaryFolder();
    const write = (checksum: string): string =>
      place(withTensors(external("w", { location: "weights.bin", length: "8", checksum })), folder);
    const right = createHash("sha1")
      .update(readFileSync(join(write(""), "..", "weights.bin")))
      .digest("hex");
    await expect(readModel(write(right.toUpperCase()))).resolves.toBeDefined();
    const path = write("0".repeat(40));
    expect(await rejectionOf(readModel(path))).toMatchObject({ code: "E_EXTERNAL_CHECKSUM", exitCode: 3, field: "w" });
  });
});
