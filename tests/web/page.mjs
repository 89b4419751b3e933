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
    return { code: error.code, message: error.message, hint: error.hint };
  }
};

const TASKS = {
  async dropIn({ options, steps }) {
    const session = await web.TrainingSession.create(FILES, options);
    const losses = await dropIn(session, steps);
    const evaluated = await session.runEvalStep(feeds(0));
    const size = await session.getParametersSize();
    const parameters = await session.getContiguousParameters();
    await session.loadParametersBuffer(new Uint8Array(parameters.data.buffer, 0, 4 * size));
    const provider = session.executionProvider;
    await session.release();
    return { losses, evaluated: Object.keys(evaluated), size, first: parameters.data[0], provider };
  },

  async steps({ source, options, from, count, open = "session" }) {
    const session = await (open === "trainer"
      ? web.openTrainer(source, options)
      : web.TrainingSession.create(source ?? FILES, options));
    const losses = [];
    for (let step = from; step < from + count; step++) losses.push(...(await session.trainSteps([feeds(step)])));
    await session.release();
    return losses;
  },

  /** Trains, keeps the run in the browser, and forgets it all. */
  async save({ options, count }) {
    const session = await web.TrainingSession.create(FILES, options);
    for (let step = 0; step < count; step++) await session.trainSteps([feeds(step)]);
    const store = await web.RunStore.open();
    const position = { epoch: 0, batch: count, lossSum: 0, samples: 8 * count };
    await store.save("digits", { state: await session.getState(), position, options: { batchSize: 8 } });
    store.close();
    await session.release();
  },

  async resume({ options, count }) {
    const store = await web.RunStore.open();
    const run = await store.load("digits", { batchSize: 8 });
    const other = await said(() => store.load("digits", { batchSize: 16 }));
    const session = await web.TrainingSession.create(FILES, options);
    await session.loadState(run.state);
    const losses = [];
    for (let step = run.position.batch; step < run.position.batch + count; step++) {
      losses.push(...(await session.trainSteps([feeds(step)])));
    }
    await session.release();
    return { losses, steps: run.state.step, other };
  },

  /** Builds a net, puts AGR in, trains it through `train` and exports it, all in the page. */
  async build({ model }) {
    const forward = web.decodeModel(new Uint8Array(await (await fetch(model)).arrayBuffer()));
    const built = await web.buildTrainingArtifacts(forward, { loss: { kind: "mse" }, agr: {}, targets: ["portable"] });
    const session = await web.TrainingSession.create(built.portable, { learningRate: 0.01 });
    const input = session.trainingInputs[0];
    const outputs = await session.exportModel();
    await session.release();
    return { input: input.name, exported: outputs.length };
  },

  async refused({ source, options }) {
    return said(async () => {
      const session = await web.TrainingSession.create(source ?? FILES, options);
      const { executionProvider, passedOver } = session;
      await session.release();
      return { executionProvider, passedOver };
    });
  },
};

globalThis.run = (task, given) => said(() => TASKS[task](given));
