import { afterAll, describe, expect } from "vitest";
import { Tensor, type TrainingSession } from "../../src/index.ts";
import { DIGITS_FILES, digitFeeds } from "../support/digit-feeds.ts";
import { rejectionOf } from "../support/errors.ts";
import type { Backend } from "./session.case.ts";

interface Tried extends Pick<Backend, "name" | "open"> {
  /** Makes a test, or one that is skipped. */
  readonly test: (title: string, run: () => Promise<void>) => void;
}

/** What every runtime's session must refuse, and how. */
export function testErrors({ name, open, test }: Tried): void {
  describe(`${name}: errors say what and where:`, () => {
    const wrongFeeds: readonly (readonly [string, () => Record<string, Tensor>, RegExp])[] = [
      [
        "a missing input",
        () => ({ input: digitFeeds()["input"] as Tensor }),
        /"labels" is missing; the model takes input float32\[batch,1,16,16\], labels int64\[batch\]/,
      ],
      ["an unknown input", () => ({ ...digitFeeds(), extra: new Tensor("float32", [1], [1]) }), /no input "extra"/],
      [
        "a wrong type",
        () => ({ ...digitFeeds(), labels: new Tensor("int32", Int32Array.of(1, 2), [2]) }),
        /"labels" is int32\[2\]/,
      ],
      [
        "a wrong rank",
        () => ({ ...digitFeeds(), labels: new Tensor("int64", BigInt64Array.of(1n, 2n), [2, 1]) }),
        /"labels" is int64\[2,1\]/,
      ],
      [
        "a wrong fixed size",
        () => ({ ...digitFeeds(), input: new Tensor("float32", new Float32Array(480), [2, 1, 15, 16]) }),
        /its axis 2 must be 16/,
      ],
      ["sizes that disagree", () => digitFeeds([1, 2, 3]), /"labels" is int64\[3\], its axis 0 must be 2/],
    ];

    /** What is refused changes nothing, so that one session refuses all. */
    let refusing: Promise<TrainingSession> | null = null;
    afterAll(async () => (await refusing)?.release());

    for (const [title, make, message] of wrongFeeds) {
      test(title, async () => {
        refusing ??= open(DIGITS_FILES);
        const error = await rejectionOf((await refusing).runTrainStep(make()));
        expect([error.code, error.exitCode]).toEqual(["E_FEED", 5]);
        expect(error.message).toMatch(message);
      });
    }

    for (const [title, labels, message] of [
      ["beyond the last", [1, 10], /"labels" of sample 1 is 10; it must be a whole number from 0 to 9/],
      ["below zero", [-1, 2], /"labels" of sample 0 is -1; .* one of the 10 classes/],
    ] as const) {
      test(`row 101: a class ${title}`, async () => {
        refusing ??= open(DIGITS_FILES);
        const session = await refusing;
        for (const run of [
          () => session.runTrainStep(digitFeeds(labels)),
          () => session.runEvalStep(digitFeeds(labels)),
        ]) {
          const error = await rejectionOf(run());
          expect([error.code, error.exitCode, error.field]).toEqual(["E_INDEX", 5, "labels"]);
          expect(error.message).toMatch(message);
        }
        const step = await rejectionOf(session.trainSteps([digitFeeds(), digitFeeds(labels)]));
        expect([step.code, session.steps]).toEqual(["E_INDEX", 0]);
      });
    }

    test("an output that does not exist", async () => {
      refusing ??= open(DIGITS_FILES);
      expect((await rejectionOf((await refusing).runTrainStep(digitFeeds(), ["logits"]))).code).toBe("E_FETCH");
    });

    test("an eval step without an eval model, an optimizer step without an optimizer model", async () => {
      const { checkpointState, trainModel } = DIGITS_FILES;
      const session = await open({ checkpointState, trainModel });
      expect((await rejectionOf(session.runEvalStep(digitFeeds()))).code).toBe("E_NO_EVAL_MODEL");
      expect((await rejectionOf(session.runOptimizerStep())).code).toBe("E_NO_OPTIMIZER_MODEL");
      await session.release();
    });

    test("a call after release", async () => {
      const session = await open(DIGITS_FILES);
      await session.release();
      await session.release();
      expect((await rejectionOf(session.lazyResetGrad())).code).toBe("E_RELEASED");
    });
  });
}
