import { type Kind, NUMBER, OPTIONS } from "../arguments.ts";
import { UsageError } from "../errors.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { isNameless, type ValueType } from "../graph/value-type.ts";

export const SIZES: Kind = {
  what: "sizes by name",
  holds: (given) => OPTIONS.holds(given) && Object.values(given as object).every(NUMBER.holds),
};

/**
 * Gives the sizes of the inputs that have no name one of their own, `<input>.<axis>`, so that what is the same size further on is
 * seen to be.
 */
export function nameOpenSizes({ graph }: Model): void {
  const taken = new Set(graph.inputs.flatMap(({ type }) => (type?.kind === "tensor" ? (type.shape ?? []) : [])));
  for (const input of graph.inputs) {
    const { type } = input;
    if (type?.kind !== "tensor" || type.shape === null || !type.shape.some(isNameless)) continue;
    const base = input.name.replaceAll(/[^\w.:]/g, "_").replace(/^(?![A-Za-z_])/, "_");
    const shape = type.shape.map((dim, axis) => {
      if (!isNameless(dim)) return dim;
      let name = `${base}.${axis}`;
      while (taken.has(name)) name += "_";
      taken.add(name);
      return name;
    });
    input.type = { ...type, shape };
  }
}

/**
 * Fixes sizes that a model leaves open, wherever they are declared.
 * @param sizes by the names the model has for them, or `<input>.<axis>`
 * @throws UsageError `E_OPTION` for a name the inputs do not have, or what is no size
 */
export function fixSizes(model: Model, sizes: Readonly<Record<string, number>>): void {
  const open = new Set(
    model.graph.inputs
      .flatMap(({ type }) => (type?.kind === "tensor" ? (type.shape ?? []) : []))
      .filter((dim) => typeof dim === "string"),
  );
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new UsageError("E_OPTION", `the size ${name} is to be ${size}, and a size is a whole number from 1 on`, {
        field: name,
      });
    }
    if (!open.has(name)) {
      throw new UsageError("E_OPTION", `no size of the inputs that is open has the name "${name}"`, {
        field: name,
        hint: open.size === 0 ? "The model leaves no size open." : `Open are ${[...open].join(", ")}.`,
      });
    }
  }
  for (const graph of walkGraphs(model.graph)) {
    const made = graph.nodes.flatMap(({ outputs }) => outputs);
    for (const value of new Set([...graph.inputs, ...made, ...graph.outputs])) {
      if (value !== null) value.type = withSizes(value.type, sizes);
    }
  }
}

function withSizes(type: ValueType | null, sizes: Readonly<Record<string, number>>): ValueType | null {
  if (type?.kind !== "tensor" || type.shape === null) return type;
  const fixed = type.shape.map((dim) =>
    typeof dim === "string" && Object.hasOwn(sizes, dim) ? (sizes[dim] ?? dim) : dim,
  );
  return fixed.every((dim, axis) => dim === type.shape?.[axis]) ? type : { ...type, shape: fixed };
}
