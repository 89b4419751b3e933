// Was: import * as ort from "onnxruntime-web/training";
import * as ort from "onnx-agr/web";

const EPOCHS = 3;
const BATCHES = 20;
const BATCH_SIZE = 8;

ort.env.wasm.numThreads = 1;

function log(text) {
  document.getElementById("log").textContent += `${text}\n`;
}

async function loadTrainingSession() {
  log("Loading the training session...");
  return ort.TrainingSession.create({
    checkpointState: "model/checkpoint",
    trainModel: "model/training_model.onnx",
    evalModel: "model/eval_model.onnx",
    optimizerModel: "model/optimizer_model.onnx",
  });
}

/** A made-up task that can be learnt: which of ten bars of the image is bright. */
function nextBatch(batch) {
  const input = new Float32Array(BATCH_SIZE * 256);
  const labels = new BigInt64Array(BATCH_SIZE);
  for (let at = 0; at < BATCH_SIZE; at++) {
    const label = (batch * BATCH_SIZE + at) % 10;
    for (let row = 0; row < 16; row++) input[at * 256 + row * 16 + label + 3] = 1;
    labels[at] = BigInt(label);
  }
  return {
    input: new ort.Tensor("float32", input, [BATCH_SIZE, 1, 16, 16]),
    labels: new ort.Tensor("int64", labels, [BATCH_SIZE]),
  };
}

async function train() {
  const session = await loadTrainingSession();
  const [lossName] = session.trainingOutputNames;
  log(`Inputs: ${session.trainingInputNames.join(", ")}. Parameters: ${await session.getParametersSize(true)}.`);
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    let sum = 0;
    for (let batch = 0; batch < BATCHES; batch++) {
      const results = await session.runTrainStep(nextBatch(batch));
      sum += results[lossName].data[0];
      await session.runOptimizerStep();
      await session.lazyResetGrad();
    }
    const evaluated = await session.runEvalStep(nextBatch(0));
    log(
      `Epoch ${epoch + 1}: training loss ${(sum / BATCHES).toFixed(4)}, evaluation loss ${evaluated[session.evalOutputNames[0]].data[0].toFixed(4)}`,
    );
  }
  const parameters = await session.getContiguousParameters(true);
  log(`The trained parameters are ${parameters.data.length} numbers.`);
  await session.release();
  log("Done.");
}

document.getElementById("train").addEventListener("click", () => {
  train().catch((error) => log(`${error.code ?? error.name}: ${error.message}`));
});
