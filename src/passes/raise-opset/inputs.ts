import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { AttributeName } from "../../ops/operators/index.ts";
import type { Conversion, ConversionSite } from "./site.ts";

/** An attribute of whole numbers becomes the input `at`; where it is not given, nothing changes. */
export function intsToInput(name: AttributeName<"ints">, at: number): Conversion {
  return (site) => {
    const given = site.before.ints(name);
    const values = given === null || given.length === 0 ? [] : [site.ints(given, name)];
    const inputs = [...site.node.inputs.slice(0, at), ...values];
    site.replace({ inputs, attributes: site.attributes([name]) });
  };
}

/** A number in the type of the node's first input. */
function numberLike(site: ConversionSite, value: number, hint: string): Value {
  const dtype = site.dtypeOf(0);
  if (dtype === DataType.double) return site.constant(Tensor.scalar(DataType.double, value), hint);
  const float = site.constant(Tensor.scalar(DataType.float, value), hint);
  return dtype === DataType.float ? float : site.emit("Cast", [float], { attributes: [attribute.int("to", dtype)] });
}

/** The bounds of Clip. Those that are not given were the largest float32 numbers: they bound nothing. */
export const clipBounds: Conversion = (site) => {
  const bound = (name: "min" | "max"): Value | null =>
    site.node.attributes.has(name) ? numberLike(site, site.before.float(name), name) : null;
  const [low, high] = [bound("min"), bound("max")];
  const inputs = [
    site.node.inputs[0] ?? null,
    ...(low !== null || high !== null ? [low] : []),
    ...(high ? [high] : []),
  ];
  site.replace({ inputs, attributes: site.attributes(["min", "max"]) });
};

export const padAmounts: Conversion = (site) => {
  const pads = site.ints(site.before.ints("pads") ?? [], "pads");
  const value = site.before.float("value");
  const inputs = [site.node.inputs[0] ?? null, pads, ...(value === 0 ? [] : [numberLike(site, value, "value")])];
  site.replace({ inputs, attributes: site.attributes(["pads", "value"]) });
};

export const sliceBounds: Conversion = (site) => {
  const bounds = (name: "starts" | "ends"): readonly number[] => site.before.ints(name) ?? [];
  const axes = site.before.ints("axes");
  const inputs = [
    site.node.inputs[0] ?? null,
    ...(["starts", "ends"] as const).map((name) => site.ints(bounds(name), name)),
    ...(axes === null ? [] : [site.ints(axes, "axes")]),
  ];
  site.replace({ inputs, attributes: site.attributes(["starts", "ends", "axes"]) });
};

export const topCount: Conversion = (site) => {
  const k = site.before.intOrNull("k");
  if (k === null) throw site.refusal("it has no k");
  site.replace({
    inputs: [site.node.inputs[0] ?? null, site.ints([k], "k")],
    attributes: site.attributes(["k"]),
  });
};

/** Up to opset 11 the graph says that Dropout drops nothing: the ratio is only kept. */
export const dropoutRatio: Conversion = (site) => {
  const ratio = site.constant(Tensor.scalar(DataType.float, site.before.float("ratio")), "ratio");
  site.replace({ inputs: [site.node.inputs[0] ?? null, ratio], attributes: site.attributes(["ratio"]) });
};

export const upsampleScales: Conversion = (site) => {
  const scales = site.before.floats("scales");
  if (scales === null) throw site.refusal("it has no scales");
  const input = site.constant(Tensor.floats([scales.length], scales), "scales");
  site.replace({ inputs: [site.node.inputs[0] ?? null, input], attributes: site.attributes(["scales"]) });
};

/** Without sizes the parts are as many as the outputs, which is said from now on. */
export const splitCount: Conversion = (site) => {
  if ((site.node.inputs[1] ?? null) !== null) return;
  site.node.attributes.set("num_outputs", attribute.int("num_outputs", site.node.outputs.length));
};
