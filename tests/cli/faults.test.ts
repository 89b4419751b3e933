import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import {
  insertAgr,
  loadRun,
  lowerArtifacts,
  readArtifacts,
  readModel,
  readTrainingSet,
  readWeights,
  writeTrainingSet,
} from "../../src/index.ts";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { allFaults, CALLS, contentOf, type Fault, hasFaults, isFull, withFault } from "../support/faults.ts";
import { temporaryFolder } from "../support/temporary.ts";

const WRITER = fileURLToPath(new URL("../support/write-set.mjs", import.meta.url));
const LONG = isFull ? 3_600_000 : 120_000;

const fails = (call: Fault["call"], ...nths: readonly number[]): readonly Fault[] =>
  nths.map((nth) => ({ call, nth, how: "EIO" }));
const killed = (call: Fault["call"], ...nths: readonly number[]): readonly Fault[] =>
  nths.map((nth) => ({ call, nth, how: "SIGKILL" }));
const nameOf = ({ call, nth, how }: Fault): string => `${how} at ${call} ${nth}`;

describe.skipIf(!hasFaults)("a set that replaces another (needs a C compiler)", () => {
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

  async function replace(fault: Fault | null) {
    const folder = join(temporaryFolder(), "set");
    cpSync(at("old"), folder, { recursive: true });
    return { ...(await withFault([WRITER, at("new"), folder], folder, fault)), folder };
  }

  async function pointsOf(sample: readonly Fault[]): Promise<readonly Fault[]> {
    const [{ how } = { how: "EIO" }] = sample;
    return isFull ? allFaults((await replace(null)).counts).filter((fault) => fault.how === how) : sample;
  }

  it(
    "row 70, row 91: any of its calls fails: exit code 6, and the old set or the new one, whole, with no other file",
    async () => {
      const sample = [...fails("open", 14), ...fails("link", 1), ...fails("unlink", 3), ...fails("fsync", 8)];
      for (const fault of await pointsOf(sample)) {
        const { folder, status, output, injected } = await replace(fault);
        const content = contentOf(folder);
        const isNew = content.has("train_step.onnx") && !content.has("training_model.onnx");
        expect([injected, content], nameOf(fault)).toEqual([true, contentOf(at(isNew ? "new" : "old"))]);
        if (status === 0) expect(isNew, nameOf(fault)).toBe(true);
        else {
          const said = expect.stringMatching(/^E_FILE_SYSTEM .*input\/output error/);
          expect([status, output], nameOf(fault)).toEqual([6, said]);
        }
      }
    },
    LONG,
  );

  it(
    "row 71, row 91: killed at any of its calls: whoever reads the folder next finds the old set or the new one, whole",
    async () => {
      const sample = [...killed("rename", 1, 6), ...killed("link", 1), ...killed("unlink", 4), ...killed("fsync", 9)];
      for (const fault of await pointsOf(sample)) {
        const { folder, injected } = await replace(fault);
        const { onnxruntime } = await readTrainingSet(folder);
        expect([injected, contentOf(folder)], nameOf(fault)).toEqual([
          true,
          contentOf(at(onnxruntime === null ? "new" : "old")),
        ]);
      }
    },
    LONG,
  );
});

/** What a command is, and where it writes. */
interface Loop {
  readonly command: string;
  /** `folder` holds a forward model and data. */
  readonly args: (folder: string, output: string) => readonly string[];
  /** What is at the output before, made once. */
  readonly before?: (output: string) => void;
  /** Whether the result is whole: what was there, or what was to be written. */
  readonly check: (output: string) => Promise<unknown>;
  readonly sample: readonly Fault[];
}

const runs = (...args: readonly string[]): void => {
  const { status, stderr } = cli(args);
  expect([status, stderr.includes("[E_")], `${args.join(" ")}: ${stderr}`).toEqual([0, false]);
};
const train = (folder: string, ...more: readonly string[]): readonly string[] => [
  "train",
  DIGITS,
  "--data",
  join(folder, "data.safetensors"),
  "--batch-size",
  "10",
  "--lr",
  "0.01",
  ...more,
];

const LOOPS: readonly Loop[] = [
  {
    command: "insert",
    args: (_, output) => ["insert", output, "--in-place"],
    before: (output) => runs("lower", DIGITS, "-o", output),
    check: readTrainingSet,
    sample: [...killed("rename", 2), ...fails("readdir", 2), ...fails("fchmod", 1)],
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
    check: readTrainingSet,
    sample: [...killed("rename", 5), ...killed("unlink", 2), ...fails("close", 3)],
  },
  {
    command: "lower",
    args: (_, output) => ["lower", DIGITS, "--force", "-o", output],
    check: async (output) => {
      if (existsSync(output) && (await isWritten(output))) await readTrainingSet(output);
    },
    sample: [...killed("link", 1), ...fails("mkdir", 1), ...fails("close", 7)],
  },
  {
    command: "export",
    args: (_, output) => ["export", DIGITS, "--force", "-o", output],
    before: (output) => runs("export", DIGITS, "--tensor", "logits", "-o", output),
    check: readModel,
    sample: [...killed("fsync", 1), ...fails("open", 1)],
  },
  {
    command: "train -o",
    args: (folder, output) => train(folder, "--force", "-o", output),
    before: (output) => cpSync(join(DIGITS, "checkpoint"), output),
    check: readWeights,
    sample: [...fails("rename", 1), ...killed("write", 1)],
  },
  {
    command: "train --checkpoints",
    args: (folder, output) => train(folder, "--save-every", "2", "--keep", "1", "--checkpoints", output),
    check: async (output) => {
      if (!existsSync(output) || !readdirSync(output).some((name) => name.startsWith("step-"))) return;
      expect((await loadRun(output)).incomplete.filter((path) => !basename(path).startsWith("."))).toEqual([]);
    },
    sample: [...killed("rename", 4), ...killed("mkdir", 2), ...killed("rmdir", 1)],
  },
];

/** A folder that did not exist before may be left empty, with what the next run sweeps. */
const isWritten = async (folder: string): Promise<boolean> =>
  readdirSync(folder).some((name) => !name.startsWith(".") || name.endsWith(".journal"));

describe.skipIf(!hasFaults)("a command in which the system fails or that is killed (needs a C compiler)", () => {
  it("meets every kind of call in the sample", () => {
    expect(new Set(LOOPS.flatMap(({ sample }) => sample.map(({ call }) => call)))).toEqual(new Set(CALLS));
  });

  it.each(LOOPS)(
    "row 70, row 71: $command leaves what was there or what it was to write, and the next run no other file",
    async ({ command, args, before, check, sample }) => {
      const folder = temporaryFolder();
      runs("export", DIGITS, "-o", join(folder, "forward.onnx"));
      writeFileSync(join(folder, "data.safetensors"), encodeSafetensors(drawDigits(60, 5)));
      const original = join(folder, "original");
      before?.(original);
      const run = async (fault: Fault | null) => {
        const place = join(mkdtempSync(join(folder, "place-")), "place");
        mkdirSync(place);
        const output = join(place, "output");
        if (existsSync(original)) cpSync(original, output, { recursive: true });
        return { ...(await withFault([MAIN, ...args(folder, output)], place, fault)), place, output };
      };
      const wrong: string[] = [];
      for (const fault of isFull ? allFaults((await run(null)).counts) : sample) {
        const outcome = await run(fault);
        const { injected, status, output, place } = outcome;
        try {
          expect([injected, fault.how === "EIO" ? [0, 6] : [null]], outcome.output).toEqual([
            true,
            expect.arrayContaining([status]),
          ]);
          await check(output);
          runs(...args(folder, output));
          const left = readdirSync(place, { recursive: true, encoding: "utf8" });
          expect(left.filter((name) => /(^|\/)\./.test(name))).toEqual([]);
        } catch (error) {
          wrong.push(`${command}: ${nameOf(fault)}: ${String(error)}`);
        }
        rmSync(join(place, ".."), { recursive: true });
      }
      expect(wrong).toEqual([]);
    },
    LONG,
  );
});

describe.skipIf(!hasFaults)("an old checkpoint (needs a C compiler)", () => {
  it.each([...fails("rmdir", 1), ...killed("unlink", 3)])(
    "row 71: whose removal is stopped ($how) is not taken for one, which is said; the next save removes the rest",
    async (fault) => {
      const folder = temporaryFolder();
      const run = join(folder, "run");
      mkdirSync(run);
      writeFileSync(join(folder, "data.safetensors"), encodeSafetensors(drawDigits(30, 5)));
      const args = train(folder, "--save-every", "1", "--keep", "1", "--checkpoints", run);
      const { injected, status, output } = await withFault([MAIN, ...args], run, fault);
      expect([injected, status]).toEqual([true, fault.how === "EIO" ? 0 : null]);
      if (fault.how === "EIO") {
        expect(output).toMatch(/cannot remove an old checkpoint in .*input\/output error; the new one is saved/);
      }
      const names = readdirSync(run).filter((name) => name.startsWith("step-"));
      const { state, incomplete } = await loadRun(run);
      expect([names.length, state.step, incomplete.length]).toEqual([1, 3, 0]);
      runs(...args, "--epochs", "2", "--resume", run);
      expect(readdirSync(run)).toEqual(["step-0000000006"]);
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
