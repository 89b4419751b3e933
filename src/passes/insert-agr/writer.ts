import { AGR_DOMAIN } from "../../edits/agr-domain.ts";
import { PREFIX } from "../../edits/record.ts";
import { type Attribute, attribute } from "../../graph/attribute.ts";
import { DataType, dataTypeName } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { GraphFunction, type Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { Builder } from "../../ops/builder.ts";
import { type AgrConstants, accumulationOf, agrConstants } from "../../optim/agr.ts";
import { emitFormula, emitShare, type Treatment } from "./formula.ts";

const AGR_FUNCTION = "AGR";
const AGR_SUM_FUNCTION = "AGRSum";
const STRENGTH = "strength";

/** How one gradient is written: as calls of functions, or as primitive operators on the spot. */
export interface Writer {
  /** The sum of |g| that the gradient adds to the global sum. */
  readonly share: (build: Builder, gradient: Value) => Value;
  readonly regularized: (build: Builder, gradient: Value, sum: Value | null) => Value;
}

/** Writes primitive operators. The constants they share are emitted into `build` when the first is needed. */
export function inlineWriter(build: Builder, treatment: Treatment): Writer {
  let constants: AgrConstants | null = null;
  return {
    share: (each, gradient) => emitShare(each, gradient, treatment),
    regularized: (each, gradient, sum) => {
      constants ??= agrConstants(build, treatment.settings.strength, accumulationOf(treatment.dtype));
      return emitFormula(each, gradient, sum, constants, treatment);
    },
  };
}

/** The functions of one insertion: one `AGR` (and for the global scope one `AGRSum`) per way gradients are treated. */
export class AgrFunctions {
  readonly #model: Model;
  readonly #names: Names;
  readonly #writers = new Map<string, Writer>();

  constructor(model: Model) {
    this.#model = model;
    this.#names = new Names(model);
  }

  /** A writer that calls the functions for `treatment`, which are added to the model on first use. */
  writer(treatment: Treatment): Writer {
    const key = JSON.stringify([treatment.dtype, treatment.predicate]);
    const known = this.#writers.get(key);
    if (known !== undefined) return known;
    const writer = this.#define(treatment, this.#suffix(treatment.dtype));
    this.#writers.set(key, writer);
    return writer;
  }

  /** Nothing for float32, so that the usual case has the plain name; gradients tested at run time come beside others. */
  #suffix(dtype: number): string {
    const type = dtype === DataType.float ? "" : `_${dataTypeName(dtype)}`;
    const taken = new Set(this.#model.functions.filter(({ domain }) => domain === AGR_DOMAIN).map(({ name }) => name));
    return taken.has(AGR_FUNCTION + type) ? `${type}_tested` : type;
  }

  #define(treatment: Treatment, suffix: string): Writer {
    const { strength, scope } = treatment.settings;
    const { dtype } = accumulationOf(treatment.dtype);
    const isGlobal = scope === "global";
    const agr = this.#function(AGR_FUNCTION + suffix, (build, input) => {
      const gradient = input("gradient");
      const sum = isGlobal ? input("sum") : null;
      const value: Attribute = {
        name: "value_float",
        kind: "reference",
        value: { attribute: STRENGTH, type: "float" },
      };
      const given = build.emit("Constant", [], { hint: STRENGTH, attributes: [value] });
      const typed = dtype === DataType.float ? given : build.cast(given, dtype);
      return emitFormula(build, gradient, sum, agrConstants(build, typed, accumulationOf(treatment.dtype)), treatment);
    });
    agr.attributes.push(STRENGTH);
    agr.docString = "Adaptive gradient regularization, arXiv 2407.16944: g - strength * |g| / sum(|g|) * g";
    const share = isGlobal
      ? this.#function(AGR_SUM_FUNCTION + suffix, (build, input) => emitShare(build, input("gradient"), treatment))
      : agr;
    return {
      share: (build, gradient) => build.call(share, [gradient]),
      regularized: (build, gradient, sum) =>
        build.call(agr, sum === null ? [gradient] : [gradient, sum], {
          attributes: [attribute.float(STRENGTH, strength)],
        }),
    };
  }

  #function(name: string, emit: (build: Builder, input: (hint: string) => Value) => Value): GraphFunction {
    const { opset } = this.#model;
    const definition = new GraphFunction(name, AGR_DOMAIN);
    definition.opsets.set(ONNX_DOMAIN, opset);
    const build = new Builder({ prefix: name, names: this.#names });
    const result = emit(build, (hint) => {
      const value = build.input(hint, null);
      definition.body.inputs.push(value);
      return value;
    });
    definition.body.append(build.nodes);
    definition.body.addOutput(result);
    this.#model.functions.push(definition);
    this.#model.opsets.set(AGR_DOMAIN, 1);
    return definition;
  }
}

/** A builder for the nodes of one edge, named after the gradient. */
export function agrBuilder(model: Model, names: Names, edge: string): Builder {
  const metadata = new Map<string, string>(
    model.irVersion >= 10
      ? [
          ["onnx-agr.pass", "insert-agr"],
          ["onnx-agr.edge", edge],
        ]
      : [],
  );
  return new Builder({ prefix: `${PREFIX}/${edge}`, names, metadata });
}
