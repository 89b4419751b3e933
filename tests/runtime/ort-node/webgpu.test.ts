import { TrainingSession } from "../../../src/index.ts";
import { testBackend } from "../session.case.ts";

testBackend({
  name: "ort-node, webgpu",
  open: (artifacts, options) =>
    TrainingSession.create(artifacts, { ...options, runtime: "ort-node", executionProviders: ["webgpu"] }),
  tolerance: 1e-6,
  skip: [],
});
