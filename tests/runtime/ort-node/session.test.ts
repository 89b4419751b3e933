import { TrainingSession } from "../../../src/index.ts";
import { testBackend } from "../session.case.ts";

testBackend({
  name: "ort-node, cpu",
  open: (artifacts, options) => TrainingSession.create(artifacts, { ...options, runtime: "ort-node" }),
  tolerance: 2e-7,
  skip: [],
});
