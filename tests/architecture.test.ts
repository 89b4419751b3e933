import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** What the entry points of the package show. */
const ENTRIES: readonly string[] = [
  ...["graph", "ops", "optim", "edits", "analysis", "passes", "artifacts", "distributed", "runtime", "verify"],
  ...["average-checkpoints.ts", "build-artifacts.ts", "lower-artifacts.ts", "open.ts", "placement.ts", "source.ts"],
  ...["step-artifacts.ts", "training-session.ts", "write-built.ts", "web", "compare", "statistics", "report"],
];

/** Which folders of src each folder may import from, beside itself, errors.ts, arguments.ts, tuples.ts and event-loop.ts. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  graph: [],
  onnxruntime: [],
  ops: ["graph"],
  autodiff: ["graph", "ops"],
  optim: ["graph", "ops"],
  edits: ["graph", "ops"],
  analysis: ["graph", "onnxruntime", "ops", "edits"],
  passes: ["graph", "onnxruntime", "ops", "autodiff", "optim", "edits", "analysis"],
  artifacts: ["graph", "onnxruntime"],
  distributed: [],
  runtime: ["graph", "onnxruntime", "artifacts", "distributed"],
  verify: ["graph", "ops", "optim", "edits", "analysis", "passes", "runtime"],
  cli: ["index.ts", "entries"],
  "index.ts": ENTRIES,
  entries: ENTRIES,
  "lower-artifacts.ts": ["graph", "optim", "edits", "analysis", "passes", "artifacts", "portable-set.ts"],
  "portable-set.ts": ["graph", "optim", "edits", "analysis", "passes", "artifacts"],
  "average-checkpoints.ts": ["graph", "artifacts"],
  "consistency.ts": ["graph", "edits", "analysis", "passes", "artifacts"],
  "source.ts": ["graph", "edits", "analysis", "passes", "artifacts", "consistency.ts", "step-artifacts.ts"],
  "step-artifacts.ts": ["graph", "edits", "analysis", "passes", "artifacts"],
  "open.ts": ["graph", "optim", "artifacts", "source.ts", "step-artifacts.ts", "lower-artifacts.ts"],
  "missing-artifact.ts": [],
  "session-source.ts": ["graph", "artifacts", "runtime", "missing-artifact.ts"],
  "session-settings.ts": ["graph", "optim", "artifacts", "runtime", "missing-artifact.ts"],
  "session-programs.ts": [...["graph", "passes", "artifacts", "runtime", "lower-artifacts.ts", "session-settings.ts"]],
  "batch-parts.ts": ["runtime"],
  "blocked-layout.ts": ["graph", "ops", "autodiff", "passes", "runtime", "session-settings.ts"],
  web: [
    ...["graph", "optim", "artifacts", "runtime", "session-programs.ts", "session-settings.ts", "session-source.ts"],
  ],
  "training-session.ts": [
    ...["graph", "optim", "edits", "analysis", "passes", "artifacts", "runtime", "session-source.ts"],
    ...["session-programs.ts", "session-settings.ts", "open.ts", "source.ts", "step-artifacts.ts"],
    ...["batch-parts.ts", "blocked-layout.ts"],
  ],
  "build-artifacts.ts": [
    "graph",
    "onnxruntime",
    "optim",
    "edits",
    "analysis",
    "passes",
    "artifacts",
    "portable-set.ts",
  ],
  statistics: [],
  report: ["graph", "runtime", "compare", "statistics"],
  compare: [...["graph", "artifacts", "runtime", "statistics", "build-artifacts.ts", "training-session.ts"]],
  "write-built.ts": ["artifacts", "build-artifacts.ts"],
  "event-loop.ts": [],
  "placement.ts": ["runtime", "source.ts", "lower-artifacts.ts"],
  "arguments.ts": [],
  "tuples.ts": [],
  "errors.ts": [],
};

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
const partOf = (path: string): string => path.split("/")[0] ?? path;

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, specifier = ""]) => specifier);
}

describe("imports", () => {
  it.each(files)("of %s go only where they may", (file) => {
    const part = partOf(file);
    const allowed = ALLOWED[part];
    expect(allowed, `src/${part} is not in the plan`).toBeDefined();
    for (const specifier of importsOf(file).filter((each) => each.startsWith("."))) {
      const target = partOf(relative(SRC, resolve(SRC, dirname(file), specifier)));
      if (target !== part && !["errors.ts", "arguments.ts", "tuples.ts", "event-loop.ts"].includes(target))
        expect(allowed, `${file} imports ${specifier}`).toContain(target);
    }
  });

  it("name ONNX Runtime only in the runtime", () => {
    const importers = files.filter((file) => importsOf(file).some((each) => each.startsWith("onnxruntime")));
    expect(importers.filter((file) => !["runtime", "verify", "index.ts", "entries"].includes(partOf(file)))).toEqual(
      [],
    );
  });

  it("name protobuf only in the codec and its readers", () => {
    const importers = files.filter((file) => importsOf(file).some((each) => each.startsWith("protobufjs")));
    expect(importers.sort()).toEqual([
      "artifacts/checkpoint/read-pbseq.ts",
      "graph/proto/read.ts",
      "graph/proto/write.ts",
      "graph/tensor.ts",
      "report/tensorboard/event.ts",
    ]);
  });

  it("never reach the passes from the runtime, whatever the way", () => {
    const reached = new Set<string>();
    const pending = files.filter((file) => partOf(file) === "runtime");
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      if (reached.has(file)) continue;
      reached.add(file);
      const from = file;
      pending.push(
        ...importsOf(file)
          .filter((each) => each.startsWith("."))
          .map((each) => relative(SRC, resolve(SRC, dirname(from), each))),
      );
    }
    expect(
      [...reached].filter((file) => ["passes", "analysis", "edits", "optim", "autodiff"].includes(partOf(file))),
    ).toEqual([]);
  });
});

describe("files", () => {
  const MOST_LINES = 300;
  /** A table has a row per thing that there is: one more is no more to understand. */
  const TABLES: Readonly<Record<string, string>> = {
    "src/graph/proto/schema.ts": "every message and field of ONNX's schema",
    "src/ops/operators/onnx.ts": "every operator of ONNX's own domain",
    "fixtures/step-corpus/optimizers.ts": "every optimizer of the corpus of train steps",
    "tests/arguments.test.ts": "wrong arguments for every function that the package shows",
    "tests/ops/inference-cases.ts": "cases of every operator whose types are inferred",
    "tests/passes/lower-training-ops/cases.ts": "cases of every lowering",
  };

  it(`have at most ${MOST_LINES} lines, but for tables`, () => {
    const root = join(SRC, "..");
    const long = ["src", "bench", "scripts", "fixtures", "tests"]
      .flatMap((folder) =>
        readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)),
      )
      .filter((name) => name.endsWith(".ts"))
      .filter((name) => readFileSync(join(root, name), "utf8").split("\n").length - 1 > MOST_LINES);
    expect(long.sort()).toEqual(Object.keys(TABLES).sort());
  });
});

describe("the command line", () => {
  it("loads nothing of the package before it knows the command", () => {
    const reached = new Set<string>();
    const pending = ["cli/main.ts"];
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      if (reached.has(file)) continue;
      reached.add(file);
      const text = readFileSync(join(SRC, file), "utf8");
      const loaded = [...text.matchAll(/^(?:import|export) (?!type)[^;]*?from "(\.[^"]+)"/gm)];
      for (const [, specifier = ""] of loaded) pending.push(relative(SRC, resolve(SRC, dirname(file), specifier)));
    }
    expect([...reached].filter((file) => partOf(file) !== "cli")).toEqual(["errors.ts"]);
  });
});

describe("every dialect and pass", () => {
  it("has a name of its own", async () => {
    const { DIALECTS } = await import("../src/analysis/find-optimizers/index.ts");
    expect(new Set(DIALECTS.map(({ name }) => name)).size).toBe(DIALECTS.length);
  });

  it("has tests under its path", () => {
    const passes = readdirSync(join(SRC, "passes"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || /^(insert|strip|set|lower|add)-/.test(entry.name))
      .map((entry) => entry.name.replace(/\.ts$/, ""));
    const tests = readdirSync(fileURLToPath(new URL("passes", import.meta.url)));
    for (const name of passes) expect(tests).toContain(`${name}.test.ts`);
  });
});

describe("the package", () => {
  it("ships no install script, takes the training build and those for pages, and makes nobody pay for a runtime unasked", () => {
    const read = JSON.parse(readFileSync(join(SRC, "..", "package.json"), "utf8")) as {
      scripts: Record<string, string>;
      dependencies: Record<string, string>;
      optionalDependencies?: Record<string, string>;
      peerDependencies: Record<string, string>;
      peerDependenciesMeta: Record<string, { optional: boolean }>;
    };
    for (const name of ["preinstall", "install", "postinstall", "prepare"])
      expect(read.scripts).not.toHaveProperty(name);
    expect(read.peerDependencies["onnxruntime-web"]).toBe(">=1.19.2");
    for (const name of ["onnxruntime-node", "onnxruntime-web"]) {
      expect(read.peerDependenciesMeta[name]).toEqual({ optional: true });
      expect({ ...read.dependencies, ...read.optionalDependencies }).not.toHaveProperty(name);
    }
  });
});
