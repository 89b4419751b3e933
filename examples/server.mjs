/**
 * A server that trains and goes on answering. The session runs in a worker thread (`isolation: "thread"`), so a step never holds up
 * a request. It is written for node:http, so that nothing has to be installed; `handle` is what Express takes as well: `app.use(handle)`.
 *
 *     node server.mjs built train.safetensors 8080
 *     curl -X POST localhost:8080/train?epochs=5      begins, and answers at once
 *     curl localhost:8080/status                      {"state":"training","step":12,"loss":0.81,...}
 *     curl localhost:8080/model -o trained.onnx       the inference model, once it is trained
 */
import { createServer } from "node:http";
import { readDataset, TrainingSession, train } from "onnx-agr";

const [folder = "built", data = "train.safetensors", port = "8080"] = process.argv.slice(2);

const session = await TrainingSession.create(folder, { learningRate: 0.003, isolation: "thread" });
const dataset = await readDataset(session.trainingInputs, data);

/** @type {{ state: "idle" | "training" | "trained" | "failed", step: number, loss: number | null, error: string | null }} */
const job = { state: "idle", step: 0, loss: null, error: null };
const end = new AbortController();
/** The training that is under way. */
let running = Promise.resolve();

/** @param {number} epochs */
async function work(epochs) {
  Object.assign(job, { state: "training", error: null });
  try {
    for await (const event of train(session, dataset, { epochs, seed: 1, signal: end.signal }))
      if (event.type === "step") Object.assign(job, { step: event.step, loss: event.loss });
    job.state = "trained";
  } catch (error) {
    Object.assign(job, { state: "failed", error: String(error) });
  }
}

/**
 * @param {import("node:http").ServerResponse} response
 * @param {number} status
 * @param {unknown} body
 */
function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 */
export async function handle(request, response) {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
  const route = `${request.method} ${pathname}`;
  if (route === "GET /status") return answer(response, 200, job);
  if (job.state === "training") return answer(response, 409, { error: "a training is under way" });
  if (route === "POST /train") {
    const epochs = Number(searchParams.get("epochs") ?? 1);
    if (!Number.isSafeInteger(epochs) || epochs < 1) return answer(response, 400, { error: "epochs: a whole number" });
    running = work(epochs);
    return answer(response, 202, job);
  }
  if (route !== "GET /model") return answer(response, 404, { error: `there is no ${route}` });
  if (job.state !== "trained") return answer(response, 409, { error: "nothing is trained yet" });
  response.writeHead(200, { "content-type": "application/octet-stream" }).end(await session.exportModel());
}

const server = createServer(handle).listen(Number(port), "127.0.0.1", () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === "object" ? address?.port : address}`);
});

process.once("SIGTERM", async () => {
  end.abort();
  server.close();
  await running;
  await session.release();
});
