import { attribute } from "../../graph/attribute.ts";
import { DataType, dataTypeName } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Conversion, ConversionSite } from "./site.ts";

/*
 * What changed up to opset 7, which brought today's broadcasting. The attributes that went are no longer in the table of
 * operators, so they are read here.
 */

function intGiven(site: ConversionSite, name: string, fallback: number): number {
  const given = site.node.attributes.get(name);
  if (given === undefined) return fallback;
  if (given.kind !== "int") throw site.refusal(`its ${name} is not a whole number`);
  return Number(given.value);
}

function floatGiven(site: ConversionSite, name: string): number {
  const given = site.node.attributes.get(name);
  if (given?.kind !== "float") throw site.refusal(`it has no ${name}`);
  return given.value;
}

function intsGiven(site: ConversionSite, name: string): readonly number[] {
  const given = site.node.attributes.get(name);
  if (given?.kind !== "ints") throw site.refusal(`it has no ${name}`);
  return given.value.map(Number);
}

/** Attributes that told runtimes how to run a node, not what it computes. */
export const without =
  (...names: readonly string[]): Conversion =>
  (site) => {
    for (const name of names) site.node.attributes.delete(name);
  };

export const notConsumed = without("consumed_inputs");

/** A node without `is_test` was in training mode: other results than later opsets have. */
export const ofTests: Conversion = (site) => {
  if (intGiven(site, "is_test", 0) === 0) throw site.refusal("it is in training mode (its is_test is not 1)");
  site.node.attributes.delete("is_test");
};

/** Axes of size 1 behind the last of an input, up to a number of axes. */
function widened(site: ConversionSite, value: Value | null, from: number, to: number): Value | null {
  if (to === from) return value;
  const axes = Array.from({ length: to - from }, (_, index) => from + index);
  return site.emit("Unsqueeze", [value], { attributes: [attribute.ints("axes", axes)] });
}

function ranks(site: ConversionSite, why: string): readonly [x: number, other: number] {
  const [x, other] = [site.rankOf(0), site.rankOf(1)];
  if (x === null || other === null) {
    throw site.refusal(`${why}, and the number of axes of its input ${x === null ? 0 : 1} is not known`);
  }
  return [x, other];
}

/** The second operand stretched over the first only where `broadcast` said so: from the last axis, or from `axis` on. */
export const stretched: Conversion = (site) => {
  const axis = intGiven(site, "axis", -1);
  const aligned = intGiven(site, "broadcast", 0) !== 0 && axis >= 0;
  if (!aligned) return without("axis", "broadcast")(site);
  const [x = null, other = null] = site.node.inputs;
  const [rank, own] = ranks(site, `its second operand begins at axis ${axis} of the first`);
  if (axis + own > rank) throw site.refusal(`its second operand has ${own} axes, too many to begin at axis ${axis}`);
  const attributes = site.attributes(["axis", "broadcast"]);
  site.replace({ inputs: [x, widened(site, other, own, rank - axis)], attributes });
};

/** One slope per channel, the axis 1, was a vector. */
export const slopePerChannel: Conversion = (site) => {
  const [x = null, slope = null] = site.node.inputs;
  if (site.sizesOf(1)?.every((size) => size === 1) === true) return;
  const [rank, own] = ranks(site, "its slope is one per channel");
  if (own !== 1) throw site.refusal(`its slope has ${own} axes, and not one`);
  if (rank > 2) site.replace({ inputs: [x, widened(site, slope, 1, rank - 1)] });
};

export const namedType: Conversion = (site) => {
  const given = site.node.attributes.get("to");
  const name = given?.kind === "string" ? new TextDecoder().decode(given.value) : "";
  const to = Object.values(DataType).find((type) => dataTypeName(type) === name.toLowerCase());
  if (to === undefined || to === DataType.undefined) throw site.refusal(`its type "${name}" is none that is known`);
  site.replace({ attributes: [attribute.int("to", to)] });
};

export const shapeInput: Conversion = (site) => {
  const shape = site.ints(intsGiven(site, "shape"), "shape");
  site.replace({
    inputs: [site.node.inputs[0] ?? null, shape],
    attributes: site.attributes(["shape", "consumed_inputs"]),
  });
};

export const paddingsRenamed: Conversion = (site) => {
  const pads = attribute.ints("pads", intsGiven(site, "paddings"));
  site.replace({ attributes: site.attributes(["paddings"], [pads]) });
};

export const wholeNorm: Conversion = (site) => {
  const given = site.node.attributes.get("p");
  if (given === undefined) return;
  const p = given.kind === "float" ? given.value : Number.NaN;
  if (!Number.isInteger(p)) throw site.refusal("its p is not a whole number");
  site.node.attributes.set("p", attribute.int("p", p));
};

export const splitAxis: Conversion = (site) => {
  if (site.node.inputs.length > 1) throw site.refusal("the sizes of its parts are an input");
  if (!site.node.attributes.has("axis")) throw site.refusal("it has no axis");
};

export const secondAxis: Conversion = (site) => {
  if (!site.node.attributes.has("axis")) site.node.attributes.set("axis", attribute.int("axis", 1));
};

/** The constants had fewer digits. */
export const roundConstants: Conversion = (site) => {
  const constants = Object.entries({ alpha: 1.6732, gamma: 1.0507 });
  const missing = constants.filter(([name]) => !site.node.attributes.has(name));
  const added = missing.map(([name, value]) => attribute.float(name, value));
  site.replace({ attributes: site.attributes(["consumed_inputs"], added) });
};

export const twoScales: Conversion = (site) => {
  const scales = [1, 1, floatGiven(site, "height_scale"), floatGiven(site, "width_scale")];
  const mode = site.before.string("mode") === "bilinear" ? "linear" : site.before.string("mode");
  site.replace({
    attributes: site.attributes(
      ["height_scale", "width_scale", "mode"],
      [attribute.floats("scales", scales), attribute.string("mode", mode)],
    ),
  });
};
