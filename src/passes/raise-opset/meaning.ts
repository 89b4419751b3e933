import { attribute } from "../../graph/attribute.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Conversion, ConversionSite } from "./site.ts";

/** Softmax and its like ran over all axes from `axis` (1) on, as one; now they run over one axis, by default the last. */
export const flatteningAxis: Conversion = (site) => {
  const axis = site.before.int("axis");
  const rank = site.rankOf(0);
  const last = [attribute.int("axis", -1)];
  if (axis === -1 || (rank !== null && axis === rank - 1)) {
    site.node.attributes.set("axis", attribute.int("axis", -1));
    return;
  }
  const [x = null] = site.node.inputs;
  const flat = site.emit("Flatten", [x], { attributes: [attribute.int("axis", axis)] });
  const result = site.again(flat, last);
  site.replace({
    opType: "Reshape",
    inputs: [result, site.emit("Shape", [x])],
    attributes: [],
  });
};

/** Statistics per element went; per channel they stayed. */
export const perChannelStatistics: Conversion = (site) => {
  if (site.before.int("spatial") !== 1) throw site.refusal("spatial = 0 has no equal there");
  site.node.attributes.delete("spatial");
};

/** A node with more outputs than one took the statistics of the batch, which no runtime of then agrees on. */
export const inferenceStatistics: Conversion = (site) => {
  if (site.node.outputs.slice(1).some((output) => output !== null)) {
    throw site.refusal("it is in training mode, which its outputs beside the first say there");
  }
  site.replace({ keep: 1 });
};

export const noMaskBefore: Conversion = (site) => {
  if ((site.node.outputs[1]?.uses.length ?? 0) > 0) throw site.refusal("its mask is read, whose type has changed");
  site.replace({ keep: 1 });
};

/** The half pixel offset became RoiAlign's default. */
export const roiWithoutOffset: Conversion = (site) =>
  site.setDefault("coordinate_transformation_mode", "output_half_pixel");

/**
 * Coordinates were multiplied by the scale alone. Between two of them, ONNX Runtime takes the lower one where it enlarges and
 * the upper one where it reduces.
 */
export const asymmetricResize: Conversion = (site) => {
  const mode = site.before.string("mode");
  const [x = null, scales = null] = site.node.inputs;
  site.replace({
    inputs: [x, site.constant(Tensor.floats([0], []), "roi"), scales],
    attributes: site.attributes(
      ["mode"],
      [
        attribute.string("mode", mode),
        attribute.string("coordinate_transformation_mode", "asymmetric"),
        ...(mode === "nearest" ? [attribute.string("nearest_mode", nearestMode(site))] : []),
      ],
    ),
  });
};

function nearestMode(site: ConversionSite): "floor" | "ceil" {
  const scales = site.valuesOf(1);
  if (scales === null) throw site.refusal("its scales are computed, and how it rounds depends on them");
  if (scales.every((scale) => scale >= 1)) return "floor";
  if (scales.every((scale) => scale <= 1)) return "ceil";
  throw site.refusal("it enlarges one axis and reduces another, and rounds differently in each");
}

export const knownCoordinates: Conversion = (site) => {
  const mode = site.before.string("coordinate_transformation_mode");
  if (mode === "tf_half_pixel_for_nn") throw site.refusal(`the coordinate transformation "${mode}" went`);
};

const INTERPOLATIONS = new Map([
  ["bilinear", "linear"],
  ["bicubic", "cubic"],
]);

export const interpolationName: Conversion = (site) => {
  const mode = site.before.string("mode");
  site.node.attributes.set("mode", attribute.string("mode", INTERPOLATIONS.get(mode) ?? mode));
};

/** Another name for the same. */
export const renamed =
  (opType: string): Conversion =>
  (site) =>
    site.replace({ opType });
