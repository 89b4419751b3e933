import { describe, expect, it } from "vitest";
import { Gather } from "../../src/distributed/gather.ts";
import { SINGLE } from "../../src/distributed/single.ts";
import type { TrainingState } from "../../src/entries/training.ts";
import {
  type BuildOptions,
  buildTrainingArtifacts,
  type NamedTensors,
  Tensor,
  TrainingSession,
} from "../../src/index.ts";
import { floatsOf } from "../../src/runtime/ort-tensor.ts";
import { divided } from "../../src/runtime/updates/update-shares.ts";
import { rejectionOf } from "../support/errors.ts";
import { smallNet } from "../support/small-net.ts";

const RANKS = 3;

async function sessionOf(options: Partial<BuildOptions>): Promise<TrainingSession> {
  const { portable } = await buildTrainingArtifacts(smallNet(), {
    loss: { kind: "cross-entropy" },
    targets: ["portable"],
    ...options,
  });
  if (portable === null) throw new Error("nothing was built");
  return TrainingSession.create(portable, { threads: 1, learningRate: 0.01 });
}

const batch = (seed: number): NamedTensors => ({
  input: new Tensor(
    "float32",
    Float32Array.from({ length: 5 * 12 }, (_, at) => Math.sin(seed + at * 12.9898)),
    [5, 12],
  ),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: 5 }, (_, at) => BigInt((at + seed) % 4)),
    [5],
  ),
});

const mapped = (tensors: NamedTensors, of: (value: number) => number): NamedTensors =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { data, dims }]) => [
      name,
      new Tensor("float32", Float32Array.from(data as Float32Array, of), [...dims]),
    ]),
  );

/** Parameters and slots of these names. */
async function copied(session: TrainingSession, names: readonly string[]): Promise<NamedTensors> {
  const updates = await session.sharedUpdates();
  const layouts = new Map([...(await updates.layout("parameter")), ...(await updates.layout("slot"))]);
  const copies = Object.fromEntries(
    names.map((name) => {
      const layout = layouts.get(name);
      if (layout === undefined) throw new Error(`there is no ${name}`);
      return [name, layout.over(new Uint8Array(layout.bytes))];
    }),
  );
  await updates.read(copies);
  return copies;
}

/** The states of `RANKS` sessions that share each update, brought together after each, and of one that makes all of it. */
async function bothWays(options: Partial<BuildOptions>): Promise<readonly [TrainingState, readonly TrainingState[]]> {
  const whole = await sessionOf(options);
  const apart = await Promise.all(Array.from({ length: RANKS }, () => sessionOf(options)));
  const lent = await whole.lendState("parameter");
  const shares = divided(
    Object.entries(lent).map(([name, { size }]) => [name, size] as const),
    RANKS,
  );
  for (let step = 0; step < 4; step++) {
    const sums = mapped(await whole.gradientsOf(batch(step)), (value) => value * 2.5);
    await whole.applyGradients(mapped(sums, (value) => Math.fround(value / RANKS)));
    const made: NamedTensors[] = [];
    for (const [rank, session] of apart.entries()) {
      const parameters = shares[rank] ?? [];
      const updates = await session.sharedUpdates();
      const slots = await updates.apply({ parameters, sessions: RANKS }, sums, {});
      const own = await copied(session, [...parameters, ...slots]);
      made.push(own);
    }
    for (const session of apart) for (const tensors of made) await (await session.sharedUpdates()).put(tensors);
  }
  const states = await Promise.all(apart.map((session) => session.getState()));
  const state = await whole.getState();
  await Promise.all([whole, ...apart].map((session) => session.release()));
  return [state, states];
}

const OPTIONS: readonly Partial<BuildOptions>[] = [
  { optimizer: { name: "sgd", momentum: 0.9 } },
  { optimizer: { name: "adam" } },
  { optimizer: { name: "adamw" }, agr: {} },
  { optimizer: { name: "adamw", clipNorm: 0.1 }, agr: { scope: "global" } },
  { optimizer: { name: "adamw", clipValue: 0.1, cautious: true }, agr: { scope: "channel" } },
  { optimizer: { name: "adagrad" } },
  { optimizer: { name: "rmsprop" } },
  { optimizer: { name: "lamb" } },
  { optimizer: { name: "lion" } },
  { optimizer: { name: "muon" }, agr: {} },
];

describe("an update of which several sessions make a part each", () => {
  it.each(OPTIONS)("is the whole update, bit for bit: %j", async (options) => {
    const [whole, apart] = await bothWays(options);
    expect(whole.step).toBe(4);
    for (const state of apart) expect(state).toEqual(whole);
  });

  it("is the whole update of Adan to a rounding: ONNX Runtime fuses a quotient that one parameter alone reads", async () => {
    const [whole, [first, ...others]] = await bothWays({ optimizer: { name: "adan", clipNorm: 0.5 }, agr: {} });
    for (const state of others) expect(state).toEqual(first);
    for (const [name, tensor] of whole.tensors) {
      const [wanted, made] = [tensor, first?.tensors.get(name)].map((each) => Array.from(each?.values() ?? [], Number));
      const largest = Math.max(...(wanted ?? []).map(Math.abs));
      const apart = Math.max(...(wanted ?? []).map((value, at) => Math.abs(value - (made?.[at] ?? Number.NaN))));
      expect(apart).toBeLessThanOrEqual(2 ** -22 * largest);
    }
  });

  it("is not made where gradients are taken beside the parameters: all need the slots of all", async () => {
    const session = await sessionOf({ optimizer: { name: "schedule-free-adamw" } });
    expect(session.can.shareUpdates).toBe(false);
    const error = await rejectionOf(session.sharedUpdates());
    expect(error.code).toBe("E_UNSUPPORTED");
    await session.release();
  });

  it("leaves a state that is refused until it is brought together", async () => {
    const session = await sessionOf({ optimizer: { name: "adamw" } });
    const updates = await session.sharedUpdates();
    const before = await copied(session, ["fc0.weight"]);
    const slots = Object.keys(await session.lendState("slot"));
    const gradients = mapped(await session.gradientsOf(batch(0)), (value) => value);
    const others = ["fc0.bias", "fc1.weight", "fc1.bias"];
    const own = await updates.apply({ parameters: others, sessions: 2 }, gradients, {});
    expect(own.every((name) => !name.startsWith("fc0.weight"))).toBe(true);
    for (const call of [
      () => session.runTrainStep(batch(1)),
      () => session.applyGradients(gradients),
      () => session.getState(),
    ]) {
      const error = await rejectionOf(call());
      expect([error.code, error.exitCode]).toEqual(["E_STATE_APART", 9]);
      expect(error.message).toContain('"fc0.weight"');
    }
    await updates.put(before);
    await session.runTrainStep(batch(1));
    for (const call of [
      () => session.runOptimizerStep(),
      () => session.getState(),
      () => session.trainSteps([batch(1)]),
    ])
      expect((await rejectionOf(call())).code).toBe("E_STATE_APART");
    const missing = slots.filter((name) => !own.includes(name));
    expect(missing.length).toBeGreaterThan(0);
    await updates.put(await copied(session, missing));
    expect((await session.getState()).step).toBe(1);
    expect((await rejectionOf(updates.put({ nothing: new Tensor("float32", [1], [1]) }))).code).toBe("E_FEED");
    await session.release();
  });
});

describe("gradients that are placed", () => {
  it("are written where the caller says, until a batch is added to them", async () => {
    const [session, other] = [await sessionOf({ optimizer: { name: "adamw" } }), await sessionOf({})];
    const updates = await session.sharedUpdates();
    const memory = new Float32Array(500);
    let end = 3;
    const places = Object.fromEntries(
      Object.entries(await session.lendState("accumulator")).map(([name, { size, dims }]) => {
        end += size;
        return [name, new Tensor("float32", memory.subarray(end - size, end), [...dims])];
      }),
    );
    await updates.placeGradients(places);
    for (const seed of [1, 2]) {
      await session.lazyResetGrad();
      await session.runTrainStep(batch(seed));
      const [placed, wanted] = [await session.lendState("accumulator"), await other.gradientsOf(batch(seed))];
      for (const [name, { data }] of Object.entries(wanted)) {
        const lent = placed[name];
        if (lent === undefined) throw new Error(`${name} was not lent`);
        expect(lent.data).toEqual(data);
        if (session.way.name !== "native") continue;
        expect(places[name]?.data).toEqual(data);
        expect(floatsOf(lent).buffer).toBe(memory.buffer);
      }
    }
    expect([...memory.subarray(0, 3), ...memory.subarray(end)].every((value) => value === 0)).toBe(true);
    const before = memory.slice();
    await session.runTrainStep(batch(3));
    await other.lazyResetGrad();
    for (const seed of [2, 3]) await other.runTrainStep(batch(seed));
    expect(await session.getGradients()).toEqual(await other.getGradients());
    expect(memory).toEqual(before);
    const { "fc0.bias": _, ...few } = places;
    expect((await rejectionOf(updates.placeGradients(few))).code).toBe("E_FEED");
    await Promise.all([session.release(), other.release()]);
  });
});

describe("parameters that are placed", () => {
  it("are renewed in one half and read in the other by turns, here and by others, and stay there when a state is loaded", async () => {
    const [whole, ...apart] = await Promise.all(
      [1, 2, 3].map(() => sessionOf({ optimizer: { name: "lamb" }, agr: {} })),
    );
    if (whole === undefined) throw new Error("there is no session");
    const shares = [
      ["fc0.weight", "fc1.bias"],
      ["fc0.bias", "fc1.weight"],
    ] as const;
    const layout = await (await whole.sharedUpdates()).layout("parameter");
    const memory = () =>
      Object.fromEntries([...layout].map(([name, { bytes, over }]) => [name, over(new Uint8Array(bytes))]));
    const halves = apart.map(() => [memory(), memory()] as const);
    const isPlaced = whole.way.name === "native";
    for (const [index, session] of apart.entries()) {
      const [now = {}, next = {}] = halves[index] ?? [];
      const placed = await (await session.sharedUpdates()).placeParameters(now, next);
      expect(placed).toEqual(isPlaced ? [...layout.keys()] : []);
    }
    if (!isPlaced) return;
    for (let step = 1; step <= 5; step++) {
      const sums = mapped(await whole.gradientsOf(batch(step)), (value) => value);
      await whole.applyGradients(mapped(sums, (value) => value / 2));
      for (const [index, session] of apart.entries())
        await (await session.sharedUpdates()).apply({ parameters: shares[index] ?? [], sessions: 2 }, sums, {});
      for (const [index, session] of apart.entries()) {
        const others = shares[1 - index] ?? [];
        for (const name of others) {
          const [from, to] = [halves[1 - index]?.[step % 2]?.[name], halves[index]?.[step % 2]?.[name]];
          if (from !== undefined && to !== undefined) floatsOf(to).set(floatsOf(from));
        }
        await (await session.sharedUpdates()).turn(others);
        expect(await session.lendState("parameter")).toEqual(await whole.lendState("parameter"));
      }
      if (step !== 3) continue;
      const state = await whole.getState();
      for (const session of apart) await session.loadState(state);
      expect((await apart[0]?.getState())?.tensors).toEqual(state.tensors);
    }
    await Promise.all([whole, ...apart].map((session) => session.release()));
  });
});

describe("parameters among ranks", () => {
  it("are divided so that all have about as many elements, the same every time", () => {
    const sizes = [
      ["a", 10],
      ["b", 802816],
      ["c", 1024],
      ["d", 1048576],
      ["e", 1024],
      ["f", 10240],
    ] as const;
    expect(divided(sizes, 2)).toEqual([["d"], ["a", "b", "c", "e", "f"]]);
    expect(divided(sizes, 8).filter((names) => names.length === 0)).toHaveLength(2);
    expect(divided([], 2)).toEqual([[], []]);
  });

  it("are brought together as bytes, each beginning where any elements may", async () => {
    const ends: (readonly number[])[] = [];
    const communicator = {
      ...SINGLE,
      size: 2,
      allGather: async (bytes: Uint8Array, each: readonly number[]) => {
        ends.push(each);
        bytes.set([7, 8], 128);
      },
    };
    const shares = [
      [
        ["a", 3],
        ["b", 8],
      ],
      [["c", 2]],
    ] as const;
    const gather = new Gather(communicator, shares);
    gather.of("a").set([1, 2, 3]);
    gather.of("b").set(new Uint8Array(Float64Array.of(0.5).buffer));
    await gather.run();
    expect(ends).toEqual([[128, 192]]);
    expect([[...gather.of("a")], [...gather.of("c")], gather.bytes]).toEqual([[1, 2, 3], [7, 8], 192]);
    expect(new Float64Array(gather.of("b").slice().buffer)).toEqual(Float64Array.of(0.5));
    expect(() => gather.of("d")).toThrow('there is no "d"');
    expect(() => new Gather(communicator, [[["a", 1]], [["a", 1]]])).toThrow("twice");
  });
});
