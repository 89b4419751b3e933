import type { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto } from "../../src/graph/proto/schema.ts";

export const withGraph = (graph: GraphProto): ModelProto => ({ irVersion: 8n, opsetImport: [{ version: 17n }], graph });
export const node = (
  name: string,
  opType: string,
  input: string[],
  output: string[],
  attribute: AttributeProto[] = [],
): NodeProto => ({
  name,
  opType,
  input,
  output,
  ...(attribute.length === 0 ? {} : { attribute }),
});
export const tensor = (proto: TensorProto): ModelProto => withGraph({ initializer: [{ name: "w", ...proto }] });
const functionCalling = (name: string, callee: string): NonNullable<ModelProto["functions"]>[number] => ({
  name,
  domain: "d",
  opsetImport: [{ domain: "d", version: 1n }],
  node: [{ opType: callee, domain: "d" }],
});
export const nestedIf = (depth: number): NodeProto[] =>
  depth === 0
    ? []
    : [
        {
          opType: "If",
          attribute: [{ name: "then_branch", type: 5, g: { name: `g${depth}`, node: nestedIf(depth - 1) } }],
        },
      ];

/** Rows 20 to 24, 33, 35 and 36 of the matrix of bad inputs. */
export const WRONG: readonly (readonly [
  what: string,
  model: ModelProto,
  code: string,
  exitCode: number,
  message: RegExp,
])[] = [
  ["row 20: no irVersion", { opsetImport: [{ version: 17n }], graph: {} }, "E_MISSING_FIELD", 3, /no irVersion/],
  ["row 20: no graph", { irVersion: 8n, opsetImport: [{ version: 17n }] }, "E_MISSING_FIELD", 3, /no graph/],
  ["row 20: no opsetImport", { irVersion: 8n, graph: {} }, "E_MISSING_FIELD", 3, /no opsetImport/],
  [
    "row 21: an opset of the future",
    { irVersion: 8n, opsetImport: [{ version: 99n }], graph: {} },
    "E_OPSET",
    4,
    /opset 99 is newer than 28/,
  ],
  [
    "row 21: a domain imported twice",
    { irVersion: 8n, opsetImport: [{ version: 17n }, { domain: "ai.onnx", version: 18n }], graph: {} },
    "E_OPSET",
    4,
    /"ai\.onnx" is imported twice, as 17 and as 18/,
  ],
  [
    "row 22: functions that call each other",
    {
      irVersion: 8n,
      opsetImport: [{ version: 17n }],
      graph: {},
      functions: [functionCalling("A", "B"), functionCalling("B", "A")],
    },
    "E_FUNCTION_CYCLE",
    3,
    /cycle: A → B → A/,
  ],
  [
    "row 22: a function that calls itself inside an If",
    {
      irVersion: 8n,
      opsetImport: [{ version: 17n }],
      graph: {},
      functions: [
        {
          ...functionCalling("A", "B"),
          node: [{ opType: "If", attribute: [{ name: "g", type: 5, g: { node: [{ opType: "A", domain: "d" }] } }] }],
        },
      ],
    },
    "E_FUNCTION_CYCLE",
    3,
    /cycle: A → A/,
  ],
  [
    "row 24: a cycle",
    withGraph({ node: [node("p", "Neg", ["b"], ["a"]), node("q", "Neg", ["a"], ["b"])] }),
    "E_GRAPH",
    3,
    /graph\.node\[0\] "p" \(Neg\) reads "b", but only graph\.node\[1\] "q" further down makes it: the nodes are unsorted or form a cycle/,
  ],
  [
    "row 24: a node that reads itself",
    withGraph({ node: [node("p", "Neg", ["a"], ["a"])] }),
    "E_GRAPH",
    3,
    /"p" \(Neg\) reads "a".*cycle/,
  ],
  [
    "row 24: a dangling input",
    withGraph({ node: [node("p", "Neg", ["nowhere"], ["a"])] }),
    "E_GRAPH",
    3,
    /"p" \(Neg\) reads "nowhere", but nothing defines it/,
  ],
  [
    "row 24: an output made twice",
    withGraph({ input: [{ name: "x" }], node: [node("p", "Neg", ["x"], ["a"]), node("q", "Neg", ["x"], ["a"])] }),
    "E_GRAPH",
    3,
    /"a" is defined twice in the graph; the second time by node "q"/,
  ],
  [
    "row 24: a dangling graph output",
    withGraph({ output: [{ name: "y" }] }),
    "E_GRAPH",
    3,
    /nothing computes the output "y"/,
  ],
  [
    "an attribute given twice",
    withGraph({
      node: [
        node(
          "p",
          "Constant",
          [],
          ["a"],
          [
            { name: "v", f: 1, type: 1 },
            { name: "v", f: 2, type: 1 },
          ],
        ),
      ],
    }),
    "E_GRAPH",
    3,
    /attribute "v" twice/,
  ],
  [
    "row 33: a binding of something that is no initializer",
    {
      ...withGraph({ input: [] }),
      trainingInfo: [{ algorithm: {}, updateBinding: [{ key: "gone", value: "new" }] }],
    },
    "E_BINDING",
    3,
    /updateBinding "gone": "gone" is not an initializer/,
  ],
  [
    "row 33: a binding to something that is no output",
    {
      ...withGraph({ initializer: [{ name: "w", dims: [0n], dataType: 1 }] }),
      trainingInfo: [{ algorithm: {}, updateBinding: [{ key: "w", value: "new" }] }],
    },
    "E_BINDING",
    3,
    /"new" is not an output of its graph/,
  ],
  [
    "row 35: raw data of the wrong length",
    tensor({ dims: [3n], dataType: 1, rawData: new Uint8Array(8) }),
    "E_TENSOR",
    3,
    /tensor "w": 8 bytes of data, 12 expected for float\[3\]/,
  ],
  [
    "row 35: typed data of the wrong length",
    tensor({ dims: [3n], dataType: 1, floatData: new Uint8Array(8) }),
    "E_TENSOR",
    3,
    /2 values in floatData, 3 expected/,
  ],
  [
    "row 35: data given twice",
    tensor({ dims: [1n], dataType: 1, floatData: new Uint8Array(4), rawData: new Uint8Array(4) }),
    "E_TENSOR",
    3,
    /"w".*given twice, in rawData and floatData/,
  ],
  [
    "row 35: data in the wrong typed field",
    tensor({ dims: [1n], dataType: 7, floatData: new Uint8Array(4) }),
    "E_TENSOR",
    3,
    /cannot be in floatData/,
  ],
  [
    "row 35: a negative dimension",
    tensor({ dims: [-1n], dataType: 1 }),
    "E_TENSOR",
    3,
    /"w": dimension -1 is negative/,
  ],
  ["row 35: dimensions beyond 2^53", tensor({ dims: [2n ** 40n, 2n ** 40n], dataType: 1 }), "E_TENSOR", 3, /too large/],
  [
    "row 36: int4 of the wrong length",
    tensor({ dims: [3n], dataType: 22, rawData: new Uint8Array(3) }),
    "E_TENSOR",
    3,
    /3 bytes of data, 2 expected for int4\[3\]/,
  ],
  [
    "row 36: an unknown element type",
    tensor({ dims: [1n], dataType: 99, rawData: new Uint8Array(4) }),
    "E_TENSOR",
    3,
    /"w": element type unknown\(99\) does not exist/,
  ],
  [
    "a wrong tensor deep in a function's attribute",
    {
      irVersion: 8n,
      opsetImport: [{ version: 17n }],
      graph: {},
      functions: [
        {
          name: "F",
          domain: "d",
          node: [
            node(
              "c",
              "Constant",
              [],
              ["y"],
              [{ name: "value", type: 4, t: { dims: [2n], dataType: 1, rawData: new Uint8Array(4) } }],
            ),
          ],
        },
      ],
    },
    "E_TENSOR",
    3,
    /tensor "c\.value": 4 bytes of data, 8 expected/,
  ],
];
