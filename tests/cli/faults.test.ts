import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import {
  encodeSafetensors,
  insertAgr,
  loadRun,
  lowerArtifacts,
  readArtifacts,
  readTrainingSet,
  writeTrainingSet,
} from "../../src/index.ts";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { contentOf, hasStrace, isFull, withFault } from "../support/faults.ts";
import { temporaryFolder } from "../support/temporary.ts";

const WRITER = fileURLToPath(new URL("../support/write-set.mjs", import.meta.url));

type Point = readonly [call: string, nth: number];

/** The points of a loop, two at a time. In full: every call until there is none to fail. */
async function atEach(
  sample: readonly Point[],
  run: (call: string, nth: number) => Promise<{ readonly injected: boolean }>,
): Promise<void> {
  if (!isFull) {
    for (let index = 0; index < sample.length; index += 2) {
      const outcomes = await Promise.all(sample.slice(index, index + 2).map(([call, nth]) => run(call, nth)));
      expect(outcomes.map(({ injected }) => injected)).not.toContain(false);
    }
    return;
  }
  for (const call of new Set(sample.map(([name]) => name))) {
    for (let nth = 1; (await run(call, nth)).injected; nth++) expect(nth).toBeLessThan(100);
  }
}

const LONG = isFull ? 900_000 : 60_000;

describe.skipIf(!hasStrace)("a set that replaces another (needs strace)", () => {
  /** Both sets of files, and a portable set with AGR. */
  let sets = "";
  const at = (name: string): string => join(sets, name);

  afterAll(() => rmSync(sets, { recursive: true, force: true }));
  beforeAll(async () => {
    sets = mkdtempSync(join(tmpdir(), "onnx-agr-sets-"));
    for (const name of ["old", "new"]) mkdirSync(at(name), { recursive: true });
    const artifacts = await readArtifacts(DIGITS);
    const portable = await lowerArtifacts(artifacts);
    await writeTrainingSet(at("old"), { onnxruntime: artifacts, portable });
    for (const model of [portable.trainStep, portable.apply]) if (model !== null) insertAgr(model);
    await writeTrainingSet(at("new"), { onnxruntime: null, portable });
  });

  async function replace(fault: string) {
    const folder = join(temporaryFolder(), "set");
    cpSync(at("old"), folder, { recursive: true });
    const outcome = await withFault([WRITER, at("new"), folder], join(folder, ".."), fault);
    return { ...outcome, folder };
  }

  it(
    "row 70, row 91: any of its calls fails: exit code 6, and the old set or the new one, whole, with no other file",
    async () => {
      const sample: Point[] = [
        ...(["rename", "fsync"] as const).flatMap((call): Point[] => [
          [call, 1],
          [call, 4],
        ]),
        ...([
          ["link", 1],
          ["unlink", 3],
          ["fsync", 8],
          ["fchmod", 2],
        ] as const),
      ];
      await atEach(sample, async (call, nth) => {
        const { folder, status, output, injected } = await replace(`${call}:error=EIO:when=${nth}`);
        if (!injected) return { injected };
        const content = contentOf(folder);
        const isNew = content.has("train_step.onnx") && !content.has("training_model.onnx");
        expect(content, `${call} ${nth}`).toEqual(contentOf(at(isNew ? "new" : "old")));
        if (status === 0) expect([call, isNew]).toEqual(["unlink", true]);
        else expect([status, output]).toEqual([6, expect.stringMatching(/^E_FILE_SYSTEM .*input\/output error/)]);
        return { injected };
      });
    },
    LONG,
  );

  it(
    "row 71, row 91: killed at any of its calls: whoever reads the folder next finds the old set or the new one, whole",
    async () => {
      const sample: Point[] = [
        ...([
          ["rename", 1],
          ["rename", 3],
          ["rename", 6],
          ["link", 1],
          ["unlink", 1],
        ] as const),
        ...([
          ["unlink", 4],
          ["unlink", 6],
          ["fsync", 2],
          ["fsync", 8],
          ["fsync", 9],
        ] as const),
      ];
      await atEach(sample, async (call, nth) => {
        const { folder, injected } = await replace(`${call}:signal=SIGKILL:when=${nth}`);
        if (!injected) return { injected };
        const { onnxruntime } = await readTrainingSet(folder);
        expect(contentOf(folder), `${call} ${nth}`).toEqual(contentOf(at(onnxruntime === null ? "new" : "old")));
        return { injected };
      });
    },
    LONG,
  );
});

/** What a command is, and where it writes. */
interface Loop {
  readonly command: string;
  readonly args: (folder: string, output: string) => readonly string[];
  /** What is at the output before, made once. */
  readonly before?: (output: string) => void;
  /** Reads the result, with which leftovers go away. */
  readonly check: (output: string) => Promise<void> | void;
  readonly sample: readonly (readonly [fault: string, nth: number])[];
}

const DATA = "digits.safetensors";
const TRAIN = ["train", DIGITS, "--data", DATA, "--batch-size", "10", "--lr", "0.01", "--json"];
const runs = (...args: readonly string[]): void => expect(cli(args).status, args.join(" ")).toBe(0);

const LOOPS: readonly Loop[] = [
  {
    command: "insert",
    args: (_, output) => ["insert", output, "--in-place"],
    before: (output) => runs("lower", DIGITS, "-o", output),
    check: (output) => runs("inspect", output),
    sample: [["rename:signal=SIGKILL", 2]],
  },
  {
    command: "build --force",
    args: (folder, output) => [
      "build",
      join(folder, "forward.onnx"),
      "--loss",
      "cross-entropy",
      "--agr",
      "--force",
      "-o",
      output,
    ],
    before: (output) => runs("lower", DIGITS, "-o", output),
    check: (output) => runs("inspect", output),
    sample: [["rename:signal=SIGKILL", 5]],
  },
  {
    command: "lower",
    args: (_, output) => ["lower", DIGITS, "-o", output],
    check: (output) => {
      if (existsSync(output) && readdirSync(output).length > 0) cli(["lower", DIGITS, "-o", output]);
      if (existsSync(output) && readdirSync(output).length > 0) runs("inspect", output);
    },
    sample: [["link:signal=SIGKILL", 1]],
  },
  {
    command: "export",
    args: (_, output) => ["export", DIGITS, "--force", "-o", output],
    before: (output) => runs("export", DIGITS, "--tensor", "logits", "-o", output),
    check: (output) => runs("export", DIGITS, "--force", "-o", output),
    sample: [["fsync:signal=SIGKILL", 1]],
  },
  {
    command: "train -o",
    args: (folder, output) => [...inFolder(TRAIN, folder), "--force", "-o", output],
    before: (output) => cpSync(join(DIGITS, "checkpoint"), output),
    check: (output) => runs("inspect", output),
    sample: [["rename:error=EIO", 1]],
  },
  {
    command: "train --checkpoints",
    args: (folder, output) => [...inFolder(TRAIN, folder), "--save-every", "2", "--checkpoints", output],
    check: async (output) => {
      if (!readdirSync(output).some((name) => name.startsWith("step-"))) return;
      expect((await loadRun(output)).incomplete.filter((path) => !basename(path).startsWith("."))).toEqual([]);
    },
    sample: [["rename:signal=SIGKILL", 4]],
  },
];

const inFolder = (args: readonly string[], folder: string): readonly string[] =>
  args.map((arg) => (arg === DATA ? join(folder, DATA) : arg));

const CALLS = ["rename", "link", "unlink", "fsync", "mkdir", "rmdir", "fchmod"];

describe.skipIf(!hasStrace)("a command in which the system fails or that is killed (needs strace)", () => {
  it.each(LOOPS)(
    "row 70, row 71: $command leaves what was there or what it was to write, and the next run no other file",
    async ({ args, before, check, sample }) => {
      const folder = temporaryFolder();
      runs("export", DIGITS, "-o", join(folder, "forward.onnx"));
      writeFileSync(join(folder, DATA), encodeSafetensors(drawDigits(60, 5)));
      const original = join(folder, "original");
      before?.(original);
      const points = isFull
        ? CALLS.flatMap((call) => ["error=EIO", "signal=SIGKILL"].map((kind) => `${call}:${kind}`))
        : sample.map(([fault]) => fault);
      for (const fault of points) {
        for (let nth = isFull ? 1 : (sample.find(([each]) => each === fault)?.[1] ?? 1); ; nth++) {
          const place = join(temporaryFolder(), "place");
          mkdirSync(place);
          const output = join(place, "output");
          if (existsSync(original)) cpSync(original, output, { recursive: true });
          const {
            injected,
            status,
            output: said,
          } = await withFault([MAIN, ...args(folder, output)], folder, `${fault}:when=${nth}`);
          if (isFull && !injected) break;
          expect([injected, [0, 6, null, 137].includes(status)], `${fault} ${nth}: ${said}`).toEqual([true, true]);
          await check(output);
          runs(
            ...args(folder, output).filter((arg) => arg !== "--json"),
            ...(args(folder, output)[0] === "lower" ? ["--force"] : []),
          );
          const left = readdirSync(place, { recursive: true, encoding: "utf8" });
          expect(
            left.filter((name) => /(^|\/)\./.test(name)),
            `${fault} ${nth}`,
          ).toEqual([]);
          if (!isFull) break;
        }
      }
    },
    LONG,
  );
});

describe("a disk that is full, a limit that is reached", () => {
  const bash = (script: string, ...args: readonly string[]) =>
    spawnSync("bash", ["-c", script, process.execPath, ...args], { encoding: "utf8", timeout: 60_000 });
  const hasMounts = bash("unshare -m mount -t tmpfs none /mnt").status === 0;

  it.skipIf(!hasMounts)("row 68: no space left while a set is written: named, and the old set as it was", () => {
    const folder = temporaryFolder();
    const script = `
      unshare -m bash -c '
        mount -t tmpfs -o size=256k none "$2" && cp "$3"/* "$2" && find "$2" -type f | xargs sha256sum > "$2.before"
        head -c 300000 /dev/zero > "$2/ballast" 2> /dev/null; truncate -s -40000 "$2/ballast"
        "$0" "$1" insert "$2" --in-place; echo "status $?"
        rm "$2/ballast"; find "$2" -type f | xargs sha256sum > "$2.after"; ls -A "$2"
      ' "$@"`;
    const inner = join(folder, "disk");
    mkdirSync(inner);
    const { stdout, stderr } = bash(script.replace('"$@"', '"$0" "$@"'), MAIN, inner, DIGITS);
    expect(stdout).toContain("status 6");
    expect(stderr).toMatch(/\[E_FILE_SYSTEM\] cannot write .*: no space left on the device/);
    expect(readFileSync(`${inner}.after`, "utf8")).toBe(readFileSync(`${inner}.before`, "utf8"));
  });

  it("row 69: a write that is cut short by a limit: named, and no file left", () => {
    const out = join(temporaryFolder(), "out.onnx");
    const { status, stderr } = bash(`trap "" XFSZ; ulimit -f 8; "$0" "$@"`, MAIN, "export", DIGITS, "-o", out);
    expect([status, stderr]).toEqual([6, expect.stringMatching(/\[E_FILE_SYSTEM\].*exceed the size limit/)]);
    expect(readdirSync(join(out, ".."))).toEqual([]);
  });

  it("row 72: a path that is too long is named", () => {
    const out = join(temporaryFolder(), "x".repeat(300));
    const { status, stderr } = cli(["export", DIGITS, "-o", out]);
    expect([status, stderr]).toEqual([6, expect.stringMatching(/\[E_FILE_SYSTEM\].*the path is too long/)]);
  });
});
