import { join } from "node:path";
import { expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { datasetFor, readTrainable, TrainingSession, train } from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { rejectionOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

it("a session is made of a folder by its path, as of what was read from it", async () => {
  const losses: number[][] = [];
  for (const source of [DIGITS, await readTrainable(DIGITS)]) {
    const session = await TrainingSession.create(source, { learningRate: 0.01 });
    const dataset = datasetFor(session.trainingInputs, drawDigits(64, 1));
    const own: number[] = [];
    for await (const event of train(session, dataset, { seed: 1 })) if (event.type === "step") own.push(event.loss);
    losses.push(own);
    await session.release();
  }
  expect(losses[0]).toHaveLength(2);
  expect(losses[0]).toEqual(losses[1]);
  const missing = join(temporaryFolder(), "nothing");
  expect(await rejectionOf(TrainingSession.create(missing))).toMatchObject({ code: "E_NO_FILE", file: missing });
});
