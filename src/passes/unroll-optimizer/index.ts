import { GraphError, PassError } from "../../errors.ts";
import { cloneNode } from "../../graph/clone.ts";
import { describeNode, type Graph, type Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import { type OptimizerInput, SLOT_INPUTS } from "../../onnxruntime/sequence-optimizers.ts";
import { constantOf } from "../../ops/constants.ts";
import { Formula } from "../../ops/formula.ts";
import { groupSettings } from "../../optim/parameter-groups.ts";
import type { OptimizerTarget, WrittenOptimizer, WrittenUpdate } from "../../optim/written.ts";
import { Call } from "../lower-training-ops/lowering.ts";
import { isList, SEQUENCE_RULES, type SequenceCall, type Unrolled } from "./sequence-rules.ts";
import { UPDATE_RULES, type UpdateRule } from "./update-rules.ts";

/**
 * Writes an optimizer model of ONNX Runtime, whose inputs are sequences of tensors, into another graph, tensor by tensor.
 * What stands between its inputs and the optimizer (clipping, a learning-rate schedule) is written out too.
 * @throws PassError `E_NO_OPTIMIZER` where there is not exactly one; `E_NO_LOWERING` for operators on sequences that are not
 *   known; GraphError `E_GRAPH` for positions outside a sequence
 */
export function unrollOptimizer(optimizer: Model, target: OptimizerTarget): WrittenOptimizer {
  return new Unroller(optimizer, target).run();
}

class Unroller {
  readonly #graph: Graph;
  readonly #target: OptimizerTarget;
  readonly #f: Formula;
  readonly #known = new Map<Value, Unrolled>();
  readonly #rule: UpdateRule;
  readonly #slots: readonly Value[][];
  #unrolling: WrittenOptimizer | null = null;

  constructor(optimizer: Model, target: OptimizerTarget) {
    this.#graph = optimizer.graph;
    this.#target = target;
    this.#f = new Formula(target.build, target.opset);
    this.#rule = ruleOf(this.#graph);
    this.#slots = this.#rule.slots.map((slot) =>
      target.trained.map(
        ({ name, parameter }) =>
          new Value(target.names.fresh(`${name}/${this.#rule.transform}/${slot}`), parameter.type),
      ),
    );
    const inputs = new Map<string, Unrolled>([
      ["learning_rate", target.learningRate],
      ["step", target.step],
      ["params", target.trained.map(({ parameter }) => parameter)],
      ["gradients", target.trained.map(({ gradient }) => gradient)],
      ...SLOT_INPUTS.map((name, index): [string, Unrolled] => [name, this.#slots[index] ?? []]),
    ]);
    for (const input of this.#graph.inputs) {
      const value = inputs.get(input.name);
      if (value !== undefined) this.#known.set(input, value);
    }
  }

  run(): WrittenOptimizer {
    for (const node of this.#graph.nodes) this.#unroll(node);
    if (this.#unrolling === null) throw new GraphError("E_GRAPH", "the optimizer was not reached");
    return this.#unrolling;
  }

  #unroll(node: Node): void {
    if (node.domain === MICROSOFT && node.opType === this.#rule.operator.op) {
      this.#update(node);
      return;
    }
    const rule = SEQUENCE_RULES.find(({ domain, op }) => node.domain === domain && node.opType === op);
    if (rule === undefined) {
      this.#copy(node, this.#known);
      return;
    }
    const results = rule.unroll(this.#call(node));
    for (const [index, output] of node.outputs.entries()) {
      const result = results[index];
      if (output !== null && result !== undefined) this.#known.set(output, result);
    }
  }

  #call(node: Node): SequenceCall {
    const call = new Call(node, this.#target.opset);
    const entry = (index: number): Unrolled => this.#entry(call.input(index));
    return {
      call,
      f: this.#f,
      entry,
      sequence: (index) => {
        const value = entry(index);
        if (isList(value)) return value;
        throw call.refuse(`its input ${index} is no sequence`);
      },
      tensor: (index) => this.#tensor(call.input(index)),
      number: (index) => {
        const held = constantOf(call.input(index));
        if (held === null) throw call.refuse(`its input ${index} is not a constant`);
        return Number(held.values()[0]);
      },
      present: (index) => call.optional(index) !== null,
      inline: (name, inputs) => this.#inline(call, name, inputs),
    };
  }

  /** What stands for a value; an initializer becomes a constant of the target on first use. */
  #entry(value: Value): Unrolled {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    if (value.tensor === null) {
      throw new PassError(
        "E_NO_LOWERING",
        `the optimizer model reads "${value.name}", which training does not give it`,
        {
          field: value.name,
        },
      );
    }
    const constant = this.#target.build.constant(value.tensor, value.name);
    this.#known.set(value, constant);
    return constant;
  }

  #tensor(value: Value): Value {
    const entry = this.#entry(value);
    if (!isList(entry)) return entry;
    throw new PassError("E_NO_LOWERING", `"${value.name}" is a sequence where a tensor is needed`, {
      field: value.name,
    });
  }

  /** An operator on tensors is taken over as it is. */
  #copy(node: Node, known: Map<Value, Unrolled>): void {
    const sequence = node.inputs.find((value) => value !== null && isList(known.get(value) ?? this.#entry(value)));
    if (sequence) {
      throw new PassError("E_NO_LOWERING", `${describeNode(node)} takes a sequence and has no lowering`, {
        field: node.name,
      });
    }
    const { build, names } = this.#target;
    const substitute = (value: Value): Value => {
      const own = known.get(value);
      return own !== undefined && !isList(own) ? own : this.#tensor(value);
    };
    const copy = cloneNode(node, substitute, (name) => names.fresh(`optimizer/${name || node.opType}`));
    build.nodes.push(copy);
    for (const [index, output] of node.outputs.entries()) {
      const made = copy.outputs[index];
      if (output !== null && made) known.set(output, made);
    }
  }

  #inline(call: Call, name: string, inputs: readonly Value[]): readonly Value[] {
    const body = call.node.attributes.get(name);
    if (body?.kind !== "graph") throw call.refuse(`it has no graph "${name}"`);
    const known = new Map<Value, Unrolled>(this.#known);
    for (const [index, input] of body.value.inputs.entries()) {
      const value = inputs[index];
      if (value !== undefined) known.set(input, value);
    }
    for (const initializer of body.value.initializers) known.set(initializer, this.#entry(initializer));
    for (const node of body.value.nodes) this.#copy(node, known);
    return body.value.outputs.map((output) => {
      const value = known.get(output);
      return value !== undefined && !isList(value) ? value : this.#tensor(output);
    });
  }

  #update(node: Node): void {
    const { operator, prepare, transform, slots } = this.#rule;
    const call = this.#call(node);
    const place = (input: OptimizerInput): number => operator.inputs.indexOf(input);
    const scalar = (index: number, fallback: Value): Value =>
      this.#f.reshape(index < 0 ? fallback : call.tensor(index), []);
    const { learningRate, step, trained } = this.#target;
    const rate = scalar(place("learning_rate"), learningRate);
    const count = scalar(place("step"), step);
    const settingsOf = groupSettings(
      this.#target.groups,
      trained.map(({ name }) => name),
    );
    /** What the parameters of a group share is emitted once. */
    const prepared = new Map<string, ReturnType<UpdateRule["prepare"]>>();
    const applyTo = (name: string): ReturnType<UpdateRule["prepare"]> => {
      const { learningRateScale, weightDecay } = settingsOf(name);
      const key = `${learningRateScale} ${weightDecay}`;
      const scaled = (): Value => (learningRateScale === 1 ? rate : this.#f.mul(rate, learningRateScale));
      const apply =
        prepared.get(key) ?? prepare(this.#f, call.call, { learningRate: scaled(), step: count, weightDecay });
      prepared.set(key, apply);
      return apply;
    };
    const signalAt = operator.inputs.length;
    const signal = call.present(signalAt) ? this.#f.reshape(call.tensor(signalAt), []) : null;
    const gated = (next: Value, old: Value): Value => (signal === null ? next : this.#f.where(signal, next, old));
    const parameters = call.sequence(place("params"));
    const gradients = call.sequence(place("gradients"));
    const held = SLOT_INPUTS.slice(0, slots.length).map((input) => call.sequence(place(input)));
    const updates = trained.map(({ name }, index): WrittenUpdate => {
      const parameter = parameters[index];
      const gradient = gradients[index];
      if (parameter === undefined || gradient === undefined) {
        throw call.call.refuse(`it is given fewer tensors than there are parameters (${trained.length})`);
      }
      const own = held.map((list) => list[index]).filter((value) => value !== undefined);
      const next = applyTo(name)({ parameter, gradient, slots: own });
      return {
        name,
        gradient,
        next: gated(next.parameter, parameter),
        slots: slots.map((slot, at) => {
          const [input, renewed] = [this.#slots[at]?.[index], next.slots[at]];
          if (input === undefined || renewed === undefined) throw call.call.refuse(`it has no slot ${slot}`);
          return { name: `${name}/${transform}/${slot}`, input, next: gated(renewed, own[at] ?? input) };
        }),
      };
    });
    this.#unrolling = { transform, updates };
    const lists = [
      updates.map(({ next }) => next),
      ...slots.map((_, at) =>
        updates.flatMap((each) => each.slots.filter((__, slot) => slot === at).map(({ next }) => next)),
      ),
    ];
    for (const [index, list] of lists.entries()) {
      const output = node.outputs[index + 1];
      if (output) this.#known.set(output, list);
    }
  }
}

function ruleOf(graph: Graph): UpdateRule {
  const found = graph.nodes.flatMap(({ domain, opType }) =>
    domain === MICROSOFT ? UPDATE_RULES.filter(({ operator }) => operator.op === opType) : [],
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new PassError(
    "E_NO_OPTIMIZER",
    `the optimizer model has ${found.length} of ${UPDATE_RULES.map(({ operator }) => operator.op).join(" and ")}; it must have one`,
    { hint: "Give optimizer_model.onnx of a set of ONNX Runtime training artifacts." },
  );
}
