import type { EdgeLayer, GradientEdge } from "../../analysis/find-optimizers/site.ts";
import type { Value } from "../../graph/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import type { Skipped } from "../pass.ts";
import type { Settings } from "./options.ts";
import { judge } from "./selection.ts";

/** A layer of a vector, and why AGR leaves it alone; null: it does not. */
export interface JudgedLayer extends EdgeLayer {
  readonly reason: string | null;
}

/** The layers of an edge, each by its own shape and its parameter's name; null where the parameter is one tensor. */
export function judgedLayers(
  settings: Settings,
  { layers, parameter, value }: GradientEdge,
): readonly JudgedLayer[] | null {
  if (layers === undefined) return null;
  const name = parameter?.name ?? value.name;
  return layers.map((layer) => ({ ...layer, reason: judge(settings, { name, shape: layer.shape }) }));
}

/** `theta[24..29]` */
export const layerName = (name: string, { start, size }: EdgeLayer): string => `${name}[${start}..${start + size - 1}]`;

export const skippedLayers = (name: string, layers: readonly JudgedLayer[]): readonly Skipped[] =>
  layers.flatMap((layer) => (layer.reason === null ? [] : [{ at: layerName(name, layer), reason: layer.reason }]));

/** Each layer's part of a gradient in its own shape, regularized where that is wanted, and put together again. */
export function emitLayers(
  build: Builder,
  opset: number,
  gradient: Value,
  layers: readonly JudgedLayer[],
  regularized: (part: Value) => Value,
): Value {
  const f = new Formula(build, opset);
  const parts = layers.map(({ start, size, shape, reason }) => {
    const part = f.slice(gradient, [start], [start + size], [0]);
    if (reason !== null) return part;
    return shape.length === 1 ? regularized(part) : f.flat(regularized(f.reshape(part, shape)));
  });
  return f.concat(parts, 0);
}
