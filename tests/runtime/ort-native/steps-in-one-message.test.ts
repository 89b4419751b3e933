import { describe, expect, it } from "vitest";
import { encodeState } from "../../../src/entries/training.ts";
import { type NamedTensors, Tensor } from "../../../src/index.ts";
import { OrtNodeSession } from "../../../src/runtime/ort-node/session.ts";
import { WAYS } from "../../../src/runtime/ort-node/ways.ts";
import { rejectionOf } from "../../support/errors.ts";
import { feeds, idsOf, inParts, programs } from "../../support/sharded-net.ts";

const open = (): Promise<OrtNodeSession> => OrtNodeSession.create(WAYS, programs(inParts()), { threads: 2 });

/** More than one message takes. */
const batches = Array.from({ length: 40 }, (_, index) => feeds(index));

/** What a session is after steps that are made one by one, and their losses. */
async function oneByOne(some: readonly NamedTensors[]): Promise<{ losses: readonly number[]; state: Uint8Array }> {
  const session = await open();
  const losses: number[] = [];
  for (const batch of some) losses.push(...(await session.trainSteps([batch])));
  const state = encodeState(await session.getState());
  await session.release();
  return { losses, state };
}

const stateOf = async (session: OrtNodeSession): Promise<Uint8Array> => encodeState(await session.getState());

describe("several steps in one message", () => {
  it("are those of one message each, bit for bit", async () => {
    const session = await open();
    const { losses, state } = await oneByOne(batches);
    expect(await session.trainSteps(batches)).toEqual(losses);
    expect(session.steps).toBe(batches.length);
    expect(await stateOf(session)).toEqual(state);
    await session.release();
  });

  it("each take their own learning rate", async () => {
    const rates = batches.map((_, index) => 0.01 * (index + 1));
    const [together, apart] = [await open(), await open()];
    const losses = await together.trainSteps(batches, rates);
    for (const [index, batch] of batches.entries())
      expect(await apart.trainSteps([batch], rates.slice(index, index + 1))).toEqual([losses[index]]);
    expect(await stateOf(together)).toEqual(await stateOf(apart));
    await Promise.all([together.release(), apart.release()]);
  });

  it("end with a loss that is not finite, which no update follows", async () => {
    const session = await open();
    const x = new Tensor("float32", new Float32Array(30).fill(Number.POSITIVE_INFINITY), [6, 5]);
    const used = new Tensor("bool", new Uint8Array(6).fill(1), [6, 1]);
    const broken = [...batches.slice(0, 3), { ...feeds(3), x, used }, ...batches.slice(4, 6)];
    const losses = await session.trainSteps(broken);
    const before = await oneByOne(batches.slice(0, 3));
    expect(losses.slice(0, 3)).toEqual(before.losses);
    expect(losses.length).toBe(4);
    expect(losses[3]).not.toBeLessThan(Number.POSITIVE_INFINITY);
    expect(session.steps).toBe(3);
    expect(await stateOf(session)).toEqual(before.state);
    await session.release();
  });

  it("end with one that goes wrong; those before it are made, and the session goes on", async () => {
    const session = await open();
    const wrong = { ...feeds(2), ids: idsOf([0, 1, 2, 3, 4, 99]) };
    const error = await rejectionOf(session.trainSteps([...batches.slice(0, 2), wrong, ...batches.slice(3, 5)]));
    expect([error.code, error.field]).toEqual(["E_RUN", "train_step"]);
    expect(session.steps).toBe(2);
    const { losses, state } = await oneByOne(batches.slice(0, 2));
    expect(await stateOf(session)).toEqual(state);
    const next = await oneByOne(batches.slice(0, 3));
    expect(await session.trainSteps(batches.slice(2, 3))).toEqual(next.losses.slice(losses.length));
    await session.release();
  });

  it("may have batches that their owner changes once they are made", async () => {
    const session = await open();
    const { losses } = await oneByOne(batches.slice(0, 8));
    const given = batches.slice(0, 8).map(({ x, ...others }) => ({ ...others, x: copied(x as Tensor) }));
    expect(await session.trainSteps(given)).toEqual(losses);
    for (const { x } of given) (x.data as Float32Array).fill(0);
    expect(await session.trainSteps(batches.slice(8, 10))).toEqual(
      (await oneByOne(batches.slice(0, 10))).losses.slice(8),
    );
    await session.release();
  });
});

const copied = ({ data, dims }: Tensor): Tensor =>
  new Tensor("float32", Float32Array.from(data as Float32Array), [...dims]);
