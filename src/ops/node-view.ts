import { GraphError } from "../errors.ts";
import type { Attribute, AttributeKind, AttributeValues } from "../graph/attribute.ts";
import { describeNode, type Node, type Value } from "../graph/graph.ts";
import { NEWEST_OPSET } from "../graph/model.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Dimension } from "../graph/value-type.ts";
import { constantOf } from "./constants.ts";
import { type AttributeName, operatorOf, schemaOf } from "./operators/index.ts";
import type { AttributeSchema } from "./operators/operator.ts";
import { shapeOf } from "./value-types.ts";

const utf8 = new TextDecoder();

/** A node as its operator's row has it: inputs and outputs at hand, attributes with their defaults. */
export class NodeView {
  readonly node: Node;
  readonly opset: number;

  /** @param opset the version of ONNX's own operators that the node is of. It decides the defaults of few attributes (`axis` of Softmax). Default: the newest */
  constructor(node: Node, opset = NEWEST_OPSET) {
    this.node = node;
    this.opset = opset;
  }

  /** @throws GraphError `E_GRAPH` where the node lacks it */
  input = (index: number): Value => {
    const value = this.node.inputs[index];
    if (value !== undefined && value !== null) return value;
    throw new GraphError("E_GRAPH", `${describeNode(this.node)} has no input ${index}`, { field: this.node.name });
  };

  optional = (index: number): Value | null => this.node.inputs[index] ?? null;

  /** The inputs that are there. */
  get inputs(): readonly Value[] {
    return this.node.inputs.filter((value) => value !== null);
  }

  /** @throws GraphError `E_GRAPH` where the node leaves it out */
  output = (index: number): Value => {
    const value = this.node.outputs[index];
    if (value !== undefined && value !== null) return value;
    throw new GraphError("E_GRAPH", `${describeNode(this.node)} has no output ${index}`, { field: this.node.name });
  };

  /** The sizes of an input's axes as far as they are known; null where the input is left out or not even its rank is known. */
  shape(index: number): readonly Dimension[] | null {
    const value = this.optional(index);
    return value === null ? null : shapeOf(value);
  }

  /** The constant that an input is; null where it is computed, given by the user or left out. */
  constant(index: number): Tensor | null {
    const value = this.optional(index);
    return value === null ? null : constantOf(value);
  }

  /** Whether the node itself gives an attribute. */
  gives = (name: string): boolean => this.node.attributes.has(name);

  /**
   * An attribute, or what the operator's row says of nodes without it.
   * @throws GraphError `E_ATTRIBUTE` where it is of another kind, or the node must have it and does not; so do the others
   */
  int = (name: AttributeName<"int">): number => this.#present(name, this.intOrNull(name));
  float = (name: AttributeName<"float">): number => this.#present(name, this.floatOrNull(name));
  string = (name: AttributeName<"string">): string => this.#present(name, this.stringOrNull(name));

  /** The same, and null where the operator has no default. */
  intOrNull(name: AttributeName<"int">): number | null {
    const given = this.#given("int", name);
    return given === null ? this.#default("int", name) : Number(given);
  }

  floatOrNull(name: AttributeName<"float">): number | null {
    const fallback = (): number | null => {
      const number = this.#default("float", name);
      return number === null ? null : Math.fround(number);
    };
    return this.#given("float", name) ?? fallback();
  }

  stringOrNull(name: AttributeName<"string">): string | null {
    const given = this.#given("string", name);
    return given === null ? this.#default("string", name) : utf8.decode(given);
  }

  ints(name: AttributeName<"ints">): readonly number[] | null {
    return this.#given("ints", name)?.map(Number) ?? this.#default("ints", name);
  }

  floats(name: AttributeName<"floats">): readonly number[] | null {
    return this.#given("floats", name) ?? this.#default("floats", name);
  }

  strings(name: AttributeName<"strings">): readonly string[] | null {
    return this.#given("strings", name)?.map((each) => utf8.decode(each)) ?? this.#default("strings", name);
  }

  #given<Kind extends AttributeKind>(kind: Kind, name: string): AttributeValues[Kind] | null {
    const found = this.node.attributes.get(name);
    if (found === undefined) return null;
    if (isOfKind(found, kind)) return found.value;
    throw new GraphError(
      "E_ATTRIBUTE",
      `${describeNode(this.node)}: attribute "${name}" may not be of kind ${found.kind}`,
      {
        field: name,
      },
    );
  }

  /** Whether nodes of the operator must have an attribute. */
  #requires(name: string): boolean {
    const attributes = schemaOf(operatorOf(this.node))?.attributes ?? {};
    return Object.hasOwn(attributes, name) && attributes[name]?.required === true;
  }

  #default<Kind extends AttributeKind>(kind: Kind, name: string): AttributeSchema<Kind>["default"] {
    const attributes = schemaOf(operatorOf(this.node))?.attributes ?? {};
    const schema = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
    if (schema === undefined || !isSchemaOf(schema, kind)) return null;
    return schema.before !== undefined && this.opset < schema.before[0] ? schema.before[1] : schema.default;
  }

  #present<T>(name: string, value: T | null): T {
    if (value !== null) return value;
    if (!this.#requires(name))
      throw new RangeError(`${operatorOf(this.node)} has no attribute "${name}" with a default`);
    throw new GraphError("E_ATTRIBUTE", `${describeNode(this.node)} lacks its attribute "${name}"`, {
      field: name,
      hint: "The model is damaged; export it again.",
    });
  }
}

const isOfKind = <Kind extends AttributeKind>(
  found: Attribute,
  kind: Kind,
): found is Attribute & { readonly kind: Kind; readonly value: AttributeValues[Kind] } => found.kind === kind;

const isSchemaOf = <Kind extends AttributeKind>(schema: AttributeSchema, kind: Kind): schema is AttributeSchema<Kind> =>
  schema.kind === kind;
