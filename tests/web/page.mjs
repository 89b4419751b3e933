/** What the tests have a page do: bundled with what the package ships. Everything comes back as JSON. */

import * as web from "../../dist/web/index.js";

web.env.wasm.wasmPaths = new URL("/ort/", location.href).href;

const FILES = {
  checkpointState: "/digits/checkpoint",
  trainModel: "/digits/training_model.onnx",
  evalModel: "/digits/eval_model.onnx",
  optimizerModel: "/digits/optimizer_model.onnx",
};

/** The same numbers as the test has in Node. */
function feeds(step) {
  const input = Float32Array.from({ length: 2048 }, (_, index) => Math.sin(index + step));
  const labels = BigInt64Array.from({ length: 8 }, (_, index) => BigInt((index + step) % 10));
  return { input: new web.Tensor("float32", input, [8, 1, 16, 16]), labels: new web.Tensor("int64", labels, [8]) };
}

/** For what a page of onnxruntime-web 1.19 did: its own calls, one after the other. */
async function dropIn(session, steps) {
  const losses = [];
  for (let step = 0; step < steps; step++) {
    const outputs = await session.runTrainStep(feeds(step));
    losses.push(Number(outputs[session.trainingOutputNames[0]].data[0]));
    await session.runOptimizerStep();
    await session.lazyResetGrad();
  }
  return losses;
}

const said = async (run) => {
  try {
    return await run();
  } catch (error) {
    return { code: error.code, message: error.message, field: error.field, hint: error.hint };
  }
};

/** Batches of the transformer: tokens, and the ones that follow. */
function tokens(step) {
  const at = (shift) => BigInt64Array.from({ length: 64 }, (_, index) => BigInt((index * 7 + step + shift) % 50));
  return { ids: new web.Tensor("int64", at(0), [4, 16]), labels: new web.Tensor("int64", at(7), [4, 16]) };
}

const opened = ({ open = "session", source = FILES, options = {} }) =>
  open === "trainer" ? web.openTrainer(source, options) : web.TrainingSession.create(source, options);

async function advance(session, batch, from, count) {
  const losses = [];
  for (let step = from; step < from + count; step++) losses.push(...(await session.trainSteps([batch(step)])));
  return losses;
}

const TASKS = {
  async dropIn({ options, steps }) {
    const session = await web.TrainingSession.create(FILES, options);
    const losses = await dropIn(session, steps);
    const evaluated = await session.runEvalStep(feeds(0));
    const size = await session.getParametersSize();
    const { data } = await session.getContiguousParameters();
    await session.loadParametersBuffer(new Uint8Array(data.buffer, data.byteOffset, 4 * size));
    const again = await session.runEvalStep(feeds(0));
    const provider = session.executionProvider;
    await session.release();
    const lossOf = (outputs) => Number(outputs[session.evalOutputNames[0]].data[0]);
    return { losses, size, provider, elements: data.length, evaluated: [lossOf(evaluated), lossOf(again)] };
  },

  async digits({ count, ...given }) {
    const session = await opened(given);
    const losses = await advance(session, feeds, 0, count);
    await session.release();
    return losses;
  },

  async transformer({ count, ...given }) {
    const session = await opened(given);
    const losses = await advance(session, tokens, 0, count);
    await session.release();
    return losses;
  },

  /** One long call while a timer ticks: how long it took, and the longest time in which the page could do nothing. */
  async freedom({ count, ...given }) {
    const session = await opened(given);
    await advance(session, feeds, 0, 1);
    const began = performance.now();
    let [before, longest] = [began, 0];
    const tick = () => {
      const now = performance.now();
      longest = Math.max(longest, now - before);
      before = now;
    };
    const timer = setInterval(tick, 1);
    await session.trainSteps(Array.from({ length: count }, (_, step) => feeds(step)));
    clearInterval(timer);
    tick();
    const took = performance.now() - began;
    await session.release();
    return { took, longest };
  },

  /** Trains, keeps the run in the browser, and forgets it all. */
  async save({ count, options }) {
    const session = await web.TrainingSession.create(FILES, options);
    await advance(session, feeds, 0, count);
    const store = await web.RunStore.open();
    const position = { epoch: 0, batch: count, lossSum: 0, samples: 8 * count };
    await store.save("digits", { state: await session.getState(), position, options: { batchSize: 8 } });
    store.close();
    await session.release();
  },

  async resume({ count, options }) {
    const store = await web.RunStore.open();
    const run = await store.load("digits", { batchSize: 8 });
    const other = await said(() => store.load("digits", { batchSize: 16 }));
    const session = await web.TrainingSession.create(FILES, options);
    await session.loadState(run.state);
    const losses = await advance(session, feeds, run.position.batch, count);
    await session.release();
    await store.remove("digits");
    return { losses, step: run.state.step, other, left: await store.names() };
  },

  /** Loses the device in the middle, and goes on in a new session from what was saved before. */
  async loseDevice({ count, options }) {
    const session = await web.TrainingSession.create(FILES, options);
    const losses = await advance(session, feeds, 0, count);
    const saved = web.encodeState(await session.getState());
    (await globalThis.lastDevice).destroy();
    const lost = await said(() => advance(session, feeds, count, 1));
    await session.release();
    const next = await web.TrainingSession.create(FILES, options);
    await next.loadState(web.decodeState(saved));
    losses.push(...(await advance(next, feeds, count, count)));
    await next.release();
    return { losses, lost };
  },

  /** Builds a net with AGR, trains it through `train` on data of its own, and exports it: all in the page. */
  async build({ model }) {
    const forward = web.decodeModel(new Uint8Array(await (await fetch(model)).arrayBuffer()));
    const options = { loss: { kind: "cross-entropy", classAxis: -1 }, agr: {}, targets: ["portable"] };
    const { portable } = await web.buildTrainingArtifacts(forward, options);
    const session = await web.TrainingSession.create(portable, { learningRate: 0.01 });
    const { ids, labels } = tokens(0);
    const tensorOf = ({ data, dims }) => web.GraphTensor.from(web.DataType.int64, dims, data);
    const all = [
      { name: "ids", tensor: tensorOf(ids) },
      { name: "labels", tensor: tensorOf(labels) },
    ];
    const dataset = web.datasetFor(session.trainingInputs, all);
    const losses = [];
    for await (const event of web.train(session, dataset, { epochs: 3, batchSize: 2, seed: 1 })) {
      if (event.type === "epoch") losses.push(event.loss);
    }
    const exported = web.decodeModel(await session.exportModel());
    await session.release();
    return { losses, outputs: exported.graph.outputs.map(({ name }) => name) };
  },

  async insert({ model }) {
    const bytes = new Uint8Array(await (await fetch(model)).arrayBuffer());
    const optimizer = web.decodeModel(bytes);
    web.insertAgr(optimizer, { count: 6 });
    const grown = web.encodeModel(optimizer).length;
    web.stripAgr(optimizer);
    const back = web.encodeModel(optimizer);
    return {
      grown,
      before: bytes.length,
      isSame: back.length === bytes.length && back.every((byte, at) => byte === bytes[at]),
    };
  },

  /** How many buffers the GPU has after some steps, and after many more. */
  async buffers({ first, count, options }) {
    let live = 0;
    const { createBuffer } = GPUDevice.prototype;
    GPUDevice.prototype.createBuffer = function (...given) {
      const buffer = createBuffer.apply(this, given);
      live++;
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        live--;
        destroy();
      };
      return buffer;
    };
    const session = await web.TrainingSession.create(FILES, options);
    await advance(session, feeds, 0, first);
    const before = live;
    await advance(session, feeds, first, count);
    const after = live;
    await session.release();
    return { before, after };
  },

  async create(given) {
    return said(async () => {
      const session = await opened(given);
      const { executionProvider, passedOver } = session;
      await session.release();
      return { executionProvider, passedOver };
    });
  },
};

/** Where a test is to lose the device, the page keeps the promise of the one that was made last. */
const { GPUAdapter } = globalThis;
if (GPUAdapter !== undefined) {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = function (...given) {
    globalThis.lastDevice = requestDevice.apply(this, given);
    return globalThis.lastDevice;
  };
}

globalThis.run = (task, given) => said(() => TASKS[task](given));
