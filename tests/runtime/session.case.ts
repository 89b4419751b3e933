import { describe, expect, it } from "vitest";
import { makeLinearArtifacts } from "../../fixtures/linear.ts";
import { GraphTensor } from "../../src/entries/graph.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/entries/training.ts";
import {
  insertAgr,
  Tensor,
  type TrainingSession,
  type TrainingSessionCreateOptions,
  type TrainingSessionOptions,
} from "../../src/index.ts";
import { agrReference, worstDifference } from "../support/agr-reference.ts";
import { DIGITS_FILES, digitFeeds } from "../support/digit-feeds.ts";
import { rejectionOf } from "../support/errors.ts";
import { testErrors } from "./session-errors.case.ts";

export interface Backend {
  readonly name: string;
  readonly open: (
    artifacts: TrainingSessionCreateOptions,
    options?: TrainingSessionOptions,
  ) => Promise<TrainingSession>;
  /** Relative to a tensor's largest entry. */
  readonly tolerance: number;
  readonly skip: readonly { readonly reason: string; readonly tests: readonly string[] }[];
}

const A = { name: "a", shape: [2, 3] };
const B = { name: "b", shape: [4] };
const ONE = { name: "one", shape: [1] };
const PARAMETERS = [A, B, ONE];
const SGD = { algorithm: "SGDOptimizerV2" } as const;

const GRADIENTS = {
  a: [0.5, -1, 2, -0.25, 3, 0.125],
  b: [1, -2, 3, -4],
  one: [0.75],
};

const feeds = (gradients: Readonly<Record<string, readonly number[]>> = GRADIENTS): Record<string, Tensor> =>
  Object.fromEntries(
    PARAMETERS.map(({ name, shape }) => [
      `x_${name}`,
      new Tensor("float32", Float32Array.from(gradients[name] ?? []), [...shape]),
    ]),
  );

const parametersOf = async (session: TrainingSession): Promise<number[]> => [
  ...((await session.getContiguousParameters()).data as Float32Array),
];

/** Tests of what an optimizer computes, for backends that share it with another one. */
export const OF_THE_OPTIMIZER = [
  ...["function", "inline", "map"].flatMap((form) =>
    ["tensor", "channel", "global"].map((scope) => `feeds the optimizer AGR's gradients: ${form}, scope ${scope}`),
  ),
  "regularizes only what is selected by shape, whatever order the sequence has",
];

/** What every runtime's session must do, with the real runtime. */
export function testBackend({ name, open, tolerance, skip }: Backend): void {
  const test = (title: string, run: () => Promise<void>): void => {
    const skipped = skip.find(({ tests }) => tests.includes(title));
    if (skipped === undefined) it(title, run);
    else it.skip(`${title} (${skipped.reason})`, run);
  };
  const withSession = async (
    artifacts: TrainingSessionCreateOptions,
    use: (session: TrainingSession) => Promise<void>,
    options: TrainingSessionOptions = {},
  ): Promise<void> => {
    const session = await open(artifacts, options);
    try {
      await use(session);
    } finally {
      await session.release();
    }
  };

  describe(`${name}: a session`, () => {
    test("opened from paths tells its inputs and outputs", async () => {
      await withSession(DIGITS_FILES, async (session) => {
        expect(session.trainingInputNames).toEqual(["input", "labels"]);
        expect(session.trainingOutputNames).toEqual(["loss"]);
        expect(session.evalInputNames).toEqual(["input", "labels"]);
        expect(session.evalOutputNames).toEqual(["loss", "logits"]);
        expect(session.trainingInputs.map(({ shape }) => shape)).toEqual([["batch", 1, 16, 16], ["batch"]]);
        expect(await session.getParametersSize()).toBe(8 * 9 + 8 + 16 * 72 + 16 + 10 * 256 + 10);
      });
    });

    test("learns", async () => {
      await withSession(DIGITS_FILES, async (session) => {
        const losses: number[] = [];
        for (let step = 0; step < 20; step++) {
          const outputs = await session.runTrainStep(digitFeeds());
          losses.push(Number(outputs["loss"]?.data[0]));
          await session.runOptimizerStep();
          await session.lazyResetGrad();
        }
        expect(losses[0]).toBeGreaterThan(2);
        expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) / 2);
      });
    });

    test("gives every eval output under its own name", async () => {
      await withSession(DIGITS_FILES, async (session) => {
        const all = await session.runEvalStep(digitFeeds());
        expect(Object.keys(all)).toEqual(["loss", "logits"]);
        expect(all["logits"]?.dims).toEqual([2, 10]);
        const one = await session.runEvalStep(digitFeeds(), ["logits"]);
        expect(Object.keys(one)).toEqual(["logits"]);
        expect(one["logits"]?.data).toEqual(all["logits"]?.data);
        const trained = await session.runTrainStep(digitFeeds());
        expect(Object.keys(trained)).toEqual(["loss"]);
      });
    });

    test("takes fetches and run options as onnxruntime-common did", async () => {
      await withSession(DIGITS_FILES, async (session) => {
        const target = new Tensor("float32", new Float32Array(20), [2, 10]);
        const byMap = await session.runEvalStep(digitFeeds(), { logits: target }, { logSeverityLevel: 3 });
        expect(byMap).toEqual({ logits: target });
        const all = await session.runEvalStep(digitFeeds(), { logSeverityLevel: 3 });
        expect(Object.keys(all)).toEqual(["loss", "logits"]);
        expect(target.data).toEqual(all["logits"]?.data);
        expect(Object.keys(await session.runTrainStep(digitFeeds(), { loss: null }))).toEqual(["loss"]);
        const small = new Tensor("float32", new Float32Array(2), [2]);
        expect((await rejectionOf(session.runEvalStep(digitFeeds(), { logits: small }))).code).toBe("E_FETCH");
      });
    });

    test("takes feeds in any order", async () => {
      await withSession(DIGITS_FILES, async (session) => {
        const { input, labels } = digitFeeds();
        if (input === undefined || labels === undefined) throw new Error("no feeds");
        const [first, second] = [
          await session.runEvalStep({ input, labels }),
          await session.runEvalStep({ labels, input }),
        ];
        expect(second["loss"]?.data).toEqual(first["loss"]?.data);
      });
    });

    test("accumulates gradients until they are reset", async () => {
      const artifacts = makeLinearArtifacts(PARAMETERS, SGD);
      await withSession(artifacts, async (session) => {
        const flat = [...GRADIENTS.a, ...GRADIENTS.b, ...GRADIENTS.one];
        await session.runTrainStep(feeds());
        await session.runTrainStep(feeds());
        await session.runOptimizerStep();
        expect(
          worstDifference(
            await parametersOf(session),
            flat.map((g) => -0.002 * g),
            [0.008],
          ),
        ).toBeLessThan(tolerance);
        await session.lazyResetGrad();
        await session.runTrainStep(feeds());
        await session.runOptimizerStep();
        expect(
          worstDifference(
            await parametersOf(session),
            flat.map((g) => -0.003 * g),
            [0.012],
          ),
        ).toBeLessThan(tolerance);
      });
    });

    for (const form of ["function", "inline", "map"] as const) {
      for (const scope of ["tensor", "channel", "global"] as const) {
        test(`feeds the optimizer AGR's gradients: ${form}, scope ${scope}`, async () => {
          const known = form === "map" ? {} : { parameters: PARAMETERS, form };
          const artifacts = makeLinearArtifacts(PARAMETERS, SGD, (optimizer) => {
            insertAgr(optimizer, { ...known, scope, strength: 0.75 });
          });
          await withSession(
            artifacts,
            async (session) => {
              await session.runTrainStep(feeds());
              await session.runOptimizerStep();
              const gradients = PARAMETERS.map(({ name: parameter, shape }) => ({
                shape,
                values: GRADIENTS[parameter as keyof typeof GRADIENTS],
              }));
              const applies = ({ shape, values }: { shape: readonly number[]; values: readonly number[] }): boolean =>
                (scope === "channel" ? values.length / (shape[0] ?? 1) : values.length) >= 2;
              const expected = agrReference(gradients, { scope, strength: 0.75, applies })
                .flat()
                .map((g) => -g);
              expect(worstDifference(await parametersOf(session), expected, [4])).toBeLessThan(tolerance);
            },
            { learningRate: 1 },
          );
        });
      }
    }

    test("regularizes only what is selected by shape, whatever order the sequence has", async () => {
      const artifacts = makeLinearArtifacts(PARAMETERS, SGD, (optimizer) => {
        insertAgr(optimizer, { parameters: PARAMETERS, include: ["b"] });
      });
      await withSession(
        artifacts,
        async (session) => {
          await session.runTrainStep(feeds());
          await session.runOptimizerStep();
          const [b = []] = agrReference([{ shape: [4], values: GRADIENTS.b }]);
          const expected = [...GRADIENTS.a, ...b, ...GRADIENTS.one].map((g) => -g);
          expect(worstDifference(await parametersOf(session), expected, [4])).toBeLessThan(tolerance);
        },
        { learningRate: 1 },
      );
    });

    test("follows a learning-rate schedule", async () => {
      const schedule = { rate: 0.8, decay: "linear", warmupSteps: 2, totalSteps: 6 } as const;
      const rates = [0, 0.4, 0.8, 0.6, 0.4, 0.2, 0];
      await withSession(
        makeLinearArtifacts(PARAMETERS, SGD),
        async (session) => {
          let before = await parametersOf(session);
          for (const [done, rate] of rates.entries()) {
            expect(session.learningRateOf(done + 1)).toBeCloseTo(rate, 12);
            await session.runTrainStep(feeds());
            await session.runOptimizerStep();
            await session.lazyResetGrad();
            const after = await parametersOf(session);
            const moved = after.map((value, index) => value - (before[index] ?? 0));
            const expected = [...GRADIENTS.a, ...GRADIENTS.b, ...GRADIENTS.one].map((g) => -rate * g);
            expect(worstDifference(moved, expected, [12])).toBeLessThan(tolerance);
            before = after;
          }
        },
        { learningRate: schedule },
      );
    });

    test("gives its parameters and takes them back", async () => {
      await withSession(makeLinearArtifacts(PARAMETERS, SGD), async (session) => {
        const values = Float32Array.from({ length: 11 }, (_, index) => index + 0.5);
        await session.loadParametersBuffer(new Uint8Array(values.buffer));
        expect(await parametersOf(session)).toEqual([...values]);
        const saved = decodeCheckpoint(await session.saveCheckpoint());
        expect(saved.trainable.map(({ name: parameter, tensor }) => [parameter, [...tensor.values()]])).toEqual([
          ["a", [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]],
          ["b", [6.5, 7.5, 8.5, 9.5]],
          ["one", [10.5]],
        ]);
        const error = await rejectionOf(session.loadParametersBuffer(new Uint8Array(8)));
        expect([error.code, error.message]).toEqual(["E_PARAMETERS_SIZE", "8 bytes given, the parameters take 44"]);
      });
    });

    test("opened from a saved checkpoint goes on with its parameters", async () => {
      const artifacts = makeLinearArtifacts(PARAMETERS, SGD);
      await withSession(artifacts, async (session) => {
        await session.runTrainStep(feeds());
        await session.runOptimizerStep();
        const trained = await parametersOf(session);
        await withSession({ ...artifacts, checkpointState: await session.saveCheckpoint() }, async (next) => {
          expect(await parametersOf(next)).toEqual(trained);
        });
      });
    });
  });

  describe(`${name}: a nominal checkpoint`, () => {
    test("waits for its parameters", async () => {
      const artifacts = makeLinearArtifacts(PARAMETERS, SGD);
      const full = decodeCheckpoint(artifacts.checkpointState as Uint8Array);
      const names = full.trainable.map(({ name: parameter, tensor }) => ({
        name: parameter,
        tensor: new GraphTensor(tensor.dtype, [], { kind: "raw", bytes: new Uint8Array() }),
      }));
      const nominal = encodeCheckpoint({ ...full, trainable: names, nominal: true });
      await withSession({ ...artifacts, checkpointState: nominal }, async (session) => {
        for (const run of [
          () => session.runTrainStep(feeds()),
          () => session.runOptimizerStep(),
          () => session.saveCheckpoint(),
        ]) {
          expect((await rejectionOf(run())).code).toBe("E_NOMINAL");
        }
        const values = Float32Array.from({ length: 11 }, (_, index) => index);
        await session.loadParametersBuffer(new Uint8Array(values.buffer), false);
        await session.runTrainStep(feeds());
        await session.runOptimizerStep();
        expect(await parametersOf(session)).not.toEqual([...values]);
      });
    });
  });

  testErrors({ name, open, test });
}
