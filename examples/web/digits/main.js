import { decodeModel, encodeModel, insertAgr, Tensor, TrainingSession, trainableParameters } from "onnx-agr/web";

const SIZE = 16;
const CLASSES = 10;
const BATCH = 16;
const MOST_STEPS = 400;

const element = (id) => document.getElementById(id);
const [pad, status, guess] = [element("pad"), element("status"), element("guess")];
const pen = pad.getContext("2d", { willReadFrequently: true });

/** ONNX Runtime's training artifacts of a small convolutional net, with random weights. */
const fetched = async (name) => new Uint8Array(await (await fetch(`./model/${name}`)).arrayBuffer());
const [checkpointState, trainModel, evalModel, optimizerModel] = await Promise.all(
  ["checkpoint", "training_model.onnx", "eval_model.onnx", "optimizer_model.onnx"].map(fetched),
);

function withAgr() {
  const optimizer = decodeModel(optimizerModel);
  const training = decodeModel(trainModel);
  const parameters = trainableParameters({
    checkpoint: checkpointState,
    trainingModel: training,
    evalModel: null,
    optimizerModel: optimizer,
  });
  insertAgr(optimizer, { parameters });
  return encodeModel(optimizer);
}

const open = (optimizer) =>
  TrainingSession.create(
    { checkpointState, trainModel, evalModel, optimizerModel: optimizer },
    { learningRate: 0.003 },
  );

let nets = [];
let samples = [];

async function start() {
  for (const { session } of nets) await session.release();
  samples = [];
  nets = [
    { name: "agr", session: await open(withAgr()), losses: [] },
    { name: "plain", session: await open(optimizerModel), losses: [] },
  ];
  status.textContent = "Ready. The nets know nothing yet.";
  draw();
}

/** The drawing as the net takes it: 16 by 16, ink is 1. */
function drawing() {
  const { data } = pen.getImageData(0, 0, pad.width, pad.height);
  const cell = pad.width / SIZE;
  return Float32Array.from({ length: SIZE * SIZE }, (_, at) => {
    const [row, column] = [Math.floor(at / SIZE), at % SIZE];
    let sum = 0;
    for (let y = 0; y < cell; y++)
      for (let x = 0; x < cell; x++) sum += data[4 * ((row * cell + y) * pad.width + column * cell + x)];
    return sum / (255 * cell * cell);
  });
}

/** The same drawing a pixel to one side, so that a few samples teach more. */
function shifted(pixels) {
  const [down, right] = [Math.floor(Math.random() * 3) - 1, Math.floor(Math.random() * 3) - 1];
  return pixels.map((_, at) => {
    const [row, column] = [Math.floor(at / SIZE) - down, (at % SIZE) - right];
    return row < 0 || column < 0 || row >= SIZE || column >= SIZE ? 0 : pixels[row * SIZE + column];
  });
}

function batch() {
  const input = new Float32Array(BATCH * SIZE * SIZE);
  const labels = new BigInt64Array(BATCH);
  for (let at = 0; at < BATCH; at++) {
    const sample = samples[Math.floor(Math.random() * samples.length)];
    input.set(shifted(sample.pixels), at * SIZE * SIZE);
    labels[at] = BigInt(sample.label);
  }
  return { input: new Tensor("float32", input, [BATCH, 1, SIZE, SIZE]), labels: new Tensor("int64", labels, [BATCH]) };
}

/** Both nets learn from the same batches, in steps of the size that keeps the page smooth. */
let learning = false;
async function learn(steps) {
  if (learning) return;
  learning = true;
  for (let step = 0; step < steps && samples.length > 0 && nets[0].losses.length < MOST_STEPS; step++) {
    const feeds = batch();
    for (const net of nets) net.losses.push(...(await net.session.trainSteps([feeds])));
    if (step % 5 === 0) {
      draw();
      await new Promise(requestAnimationFrame);
    }
  }
  learning = false;
  draw();
  await look();
}

async function look() {
  const pixels = drawing();
  if (!pixels.some((ink) => ink > 0)) return;
  const feeds = {
    input: new Tensor("float32", pixels, [1, 1, SIZE, SIZE]),
    labels: new Tensor("int64", BigInt64Array.of(0n), [1]),
  };
  const seen = [];
  for (const { name, session } of nets) {
    const { logits } = await session.runEvalStep(feeds);
    const scores = Array.from(logits.data);
    const best = scores.indexOf(Math.max(...scores));
    const share = 1 / scores.reduce((sum, score) => sum + Math.exp(score - scores[best]), 0);
    seen.push(`${name === "agr" ? "with AGR" : "without"}: ${best} (${Math.round(100 * share)} %)`);
  }
  guess.textContent = `The nets see ${seen.join(", ")}.`;
}

function draw() {
  const [width, height, most] = [600, 200, 2.6];
  const steps = Math.max(40, ...nets.map(({ losses }) => losses.length));
  const paths = nets.map(({ name, losses }) => {
    const points = losses.map(
      (loss, at) =>
        `${((at / (steps - 1)) * (width - 60) + 45).toFixed(1)},${((1 - Math.min(loss, most) / most) * (height - 30) + 8).toFixed(1)}`,
    );
    return points.length === 0 ? "" : `<path class="${name}" d="M${points.join("L")}"/>`;
  });
  const texts = `<text x="6" y="18">${most}</text><text x="6" y="180">0</text><text x="${width - 70}" y="196">${steps} steps</text>`;
  element("curve").innerHTML = paths.join("") + texts;
  if (samples.length > 0) {
    const last = nets.map(({ losses }) => losses.at(-1)?.toFixed(3)).join(" and ");
    status.textContent = `${samples.length} drawings, ${nets[0].losses.length} steps, loss ${last}.`;
  }
}

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pad.width, pad.height);
}

function place(event) {
  const { left, top, width, height } = pad.getBoundingClientRect();
  return [((event.clientX - left) / width) * pad.width, ((event.clientY - top) / height) * pad.height];
}

pad.addEventListener("pointerdown", (event) => {
  pad.setPointerCapture(event.pointerId);
  pen.beginPath();
  pen.moveTo(...place(event));
});
pad.addEventListener("pointermove", (event) => {
  if (event.buttons === 0) return;
  pen.strokeStyle = "#fff";
  pen.lineWidth = 26;
  pen.lineCap = pen.lineJoin = "round";
  pen.lineTo(...place(event));
  pen.stroke();
});
pad.addEventListener("pointerup", () => void (learning || look()));

for (let label = 0; label < CLASSES; label++) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = String(label);
  button.addEventListener("click", () => {
    const pixels = drawing();
    if (!pixels.some((ink) => ink > 0)) {
      guess.textContent = "Draw something first.";
      return;
    }
    samples.push({ pixels, label });
    clear();
    void learn(40);
  });
  element("labels").append(button);
}
element("clear").addEventListener("click", clear);
element("forget").addEventListener("click", () => void start());

clear();
await start();
