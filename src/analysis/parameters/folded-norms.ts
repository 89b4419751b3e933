import type { Value } from "../../graph/graph.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { readingsOf } from "./readings.ts";

/** What PyTorch's tracing exporter calls a constant that it computed ahead of time, after the operator that reads it. */
const FACTORS = /^onnx::(?:Mul|Add)_\d+$/;
const KERNELS = /^onnx::Conv(?:Transpose)?_\d+$/;
const CONVOLUTIONS = opTypes(["Conv", "ConvTranspose"]);

/** How many pairs are told. */
const MOST_NAMED = 2;

/**
 * What is said of normalizations that PyTorch's tracing exporter computed with ahead of time, by the names that it gives: where the file
 * has no other trace of them.
 * @param parameters what is trained
 */
export function notesOfFolded(parameters: readonly Value[]): readonly string[] {
  return [...notesOfKernels(parameters), ...notesOfFactors(parameters)];
}

/** A kernel and its bias, both computed: batch normalization of a model in inference mode. */
function notesOfKernels(parameters: readonly Value[]): readonly string[] {
  const folded = new Set(parameters.filter(({ name }) => KERNELS.test(name)));
  const kernels = [...folded].filter((value) =>
    readingsOf(value).some(({ node: { inputs }, index }) => index === 1 && inputs[2] && folded.has(inputs[2])),
  );
  const [first] = kernels;
  if (first === undefined) return [];
  return [
    `the weights and biases of ${kernels.length} convolution${kernels.length === 1 ? "" : "s"} were computed ahead of time ("${first.name}"), as the exporter folds batch normalization into them in inference mode: ` +
      "the model trains without it. Export it in train mode with training=TrainingMode.TRAINING and do_constant_folding=False to keep it",
  ];
}

/** Scales and shifts behind convolutions: those of a frozen normalization look like parameters then. */
function notesOfFactors(parameters: readonly Value[]): readonly string[] {
  const folded = new Set(parameters.filter(({ name }) => FACTORS.test(name)));
  const pairs = [...folded].flatMap((scale) => {
    const [product, ...others] = readingsOf(scale);
    if (product === undefined || others.length > 0 || product.node.opType !== "Mul") return [];
    const data = product.node.inputs[1 - product.index];
    const [sum] = product.node.outputs[0] ? readingsOf(product.node.outputs[0]) : [];
    const shift = sum?.node.opType === "Add" ? sum.node.inputs[1 - sum.index] : null;
    const isBehindConvolution = CONVOLUTIONS.has(data?.producer?.opType ?? "");
    return isBehindConvolution && shift && folded.has(shift) ? [[scale.name, shift.name]] : [];
  });
  if (pairs.length === 0) return [];
  const flags = pairs.slice(0, MOST_NAMED).flatMap((names) => names.map((name) => `--freeze '${name}'`));
  const rest = pairs.length > MOST_NAMED ? `, and so on for ${pairs.length} pairs` : "";
  return [
    "scales and shifts behind convolutions that the exporter computed ahead of time are trained; those of a frozen batch normalization (FrozenBatchNorm2d) are not in PyTorch: " +
      `${flags.join(" ")}${rest}. With do_constant_folding=False the file says more`,
  ];
}
