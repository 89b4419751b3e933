import { formatType } from "../../entries/graph.ts";
import { PORTABLE_FILES, type Role, readPlan } from "../../entries/training.ts";
import type { Model, PortableArtifacts } from "../../index.ts";
import type { Document } from "./document.ts";

const MODELS: readonly (readonly [kind: "trainStep" | "gradients" | "apply" | "evalModel", role: Role])[] = [
  ["trainStep", "train_step"],
  ["gradients", "gradients"],
  ["apply", "apply"],
  ["evalModel", "eval"],
];

/** What a portable set is made of. */
export function describePortable(artifacts: PortableArtifacts): Document {
  const models = MODELS.flatMap(([kind, role]) => {
    const model = artifacts[kind];
    return model === null ? [] : [{ file: PORTABLE_FILES[kind], ...describe(model, role) }];
  });
  const { state } = artifacts;
  const tensors = [...(state?.tensors ?? [])].map(([name, { dtype, dims }]) => ({
    name,
    type: formatType({ kind: "tensor", dtype, shape: dims }),
  }));
  const json = { kind: "portable", models, state: state === null ? null : { step: state.step, tensors } };
  const lines = [
    "portable training artifacts, in standard operators",
    ...models.map(
      ({ file, nodes, opset, inputs, outputs, agr, state: kinds }) =>
        `  ${file}: ${nodes} nodes, opset ${opset}${agr === null ? "" : agr ? ", with AGR" : ", without AGR"}; ` +
        `${inputs.join(", ") || "no data"} -> ${outputs.join(", ") || "state alone"}; ${kinds}`,
    ),
    ...(state === null ? ["  no state"] : [`  state after ${state.step} steps:`]),
    ...tensors.map(({ name, type }) => `    ${name}: ${type}`),
  ];
  return { json, lines };
}

function describe(model: Model, role: Role) {
  const { inputs, outputs, state } = readPlan(model, role);
  const counts = new Map<string, number>();
  for (const { kind } of state) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return {
    role,
    nodes: model.graph.nodeCount,
    opset: model.opset,
    inputs,
    outputs,
    /** Null where there is no optimizer for it to stand before. */
    agr: role === "train_step" || role === "apply" ? model.metadata.has("onnx-agr") : null,
    state: [...counts].map(([kind, count]) => `${count} ${kind}${count === 1 ? "" : "s"}`).join(", "),
  };
}
