import { BackendError, type ErrorDetails } from "../errors.ts";

/** What ONNX Runtime meant. */
export interface Explanation {
  /** Of memory that is not there, whatever failed for it. */
  readonly code?: string;
  /** Continues a sentence after a colon. */
  readonly reason: string;
  readonly hint: string;
}

interface Meaning extends Explanation {
  readonly pattern: RegExp;
}

const SMALLER = "Use a smaller batch size, or the runtime ort-node, which is not held to 4 GiB.";

/** The first pattern that its message has says what it means. Messages of ONNX Runtime 1.19 to 1.30. */
const MEANINGS: readonly Meaning[] = [
  {
    pattern: /out of range|out of bounds|out of data bounds|index out/i,
    reason: "a number that stands for a place, such as a class or a token, is outside the tensor it points into",
    hint: "Look at the integer inputs: classes and tokens count from 0, and the model must have as many of them.",
  },
  {
    pattern: /bad_?alloc|failed to allocate|out of memory|memory access out of bounds|allocat\w+ (failed|failure)/i,
    reason: "there is not enough memory",
    hint: SMALLER,
    code: "E_MEMORY",
  },
  {
    pattern: /cuda.*(driver|no cuda-capable|device)|CUDA failure/i,
    reason: "CUDA finds no device or no driver that fits",
    hint: "Run nvidia-smi to see whether there is one.",
  },
  {
    pattern: /providers_\w+\.(so|dll|dylib)|providers_shared|cannot open shared object|load (shared )?library/i,
    reason: "its libraries are not installed",
    hint: "See what the execution provider needs.",
  },
  {
    pattern: /adapter|webgpu|vulkan|dawn/i,
    reason: "there is no GPU adapter",
    hint: "See what the execution provider needs.",
  },
  {
    pattern: /broadcast|dimension mismatch|incompatible dimensions|axis == 1 \|\| axis == largest|must match|mismatch/i,
    reason: "shapes of its inputs do not fit each other",
    hint: "Look whether the inputs' free sizes (batch, length) are ones the model was exported for.",
  },
  {
    pattern: /requested shape|cannot be reshaped|reshape/i,
    reason: "a tensor cannot have the shape that the model writes down for it",
    hint: "The model was exported for other sizes, often for one batch size: use that one, or export it with a free axis.",
  },
  {
    pattern: /invalid (rank|dimensions)|unexpected input data type/i,
    reason: "an input has another rank, size or type than the model takes",
    hint: "Run onnx-agr inspect on the model to see what it takes.",
  },
  {
    pattern:
      /unsupported model IR version|opset .* (is under development|only)|max supported IR|guarantees? .*support/i,
    reason: "the model is of a newer version than this ONNX Runtime reads",
    hint: "Run: npm install onnxruntime-node@latest",
  },
  {
    pattern: /NOT_IMPLEMENTED|could not find an implementation|not (a registered|implemented)|no op registered/i,
    reason: "it has no kernel for an operator of the model, or none for its element type",
    hint: "Run: npm install onnxruntime-node@latest. Where the operator is ONNX Runtime's own, lower the artifacts first: onnx-agr lower.",
  },
  {
    pattern: /backend not found|no available backend|not (available|supported|enabled|bundled)|unknown provider/i,
    reason: "this build of ONNX Runtime does not have it",
    hint: "See what the execution provider needs.",
  },
];

/** How its messages name a node: the operator, then the name. */
const NAMED_NODES: readonly RegExp[] = [
  /while running (\w+) node\. Name:'([^']*)'/,
  /an implementation for (\w+)(?:\(\d+\))? node with name '([^']*)'/,
];

const UNKNOWN: Explanation = {
  reason: "for a reason that has no translation here",
  hint: "With --debug, or in the error's cause, stands what it said. Run onnx-agr inspect on the models.",
};

/**
 * What ONNX Runtime meant by what it threw: the node, and what is wrong there. Its own words name lines of C++; they stay in
 * the error's `cause`.
 */
export function explain(cause: unknown): Explanation {
  if (typeof cause === "number") {
    return {
      reason: "it gave no reason (an exception inside WebAssembly)",
      hint: `Use ort-node, which gives reasons. Too little memory is a usual one: ${SMALLER}`,
    };
  }
  const text = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof RangeError && /memory|allocation/i.test(text)) {
    return {
      code: "E_MEMORY",
      reason: "WebAssembly's memory of 4 GiB is used up; the model is too large for this runtime",
      hint: SMALLER,
    };
  }
  const said = text.replace(/\S*onnxruntime_src\S*|while running \w+ node\. Name:'[^']*'/g, "");
  const meaning = MEANINGS.find(({ pattern }) => pattern.test(said)) ?? UNKNOWN;
  const [, opType, name] = NAMED_NODES.map((pattern) => pattern.exec(text)).find((match) => match !== null) ?? [];
  const [, loading] = /Node\s*\(([^)]+)\)|Node:\s*(\S+)/.exec(text) ?? [];
  const node = opType === undefined ? loading : name === "" ? opType : `${name} (${opType})`;
  return { ...meaning, reason: node === undefined ? meaning.reason : `at node ${node}, ${meaning.reason}` };
}

/** A failure of ONNX Runtime in words of this package, with its own in `cause`. @param what failed, as the begin of a sentence */
export function runtimeError(
  code: string,
  what: string,
  cause: unknown,
  details: Omit<ErrorDetails, "cause"> = {},
): BackendError {
  const { reason, hint, code: meant = code } = explain(cause);
  return new BackendError(meant, `${what}: ${reason}`, { hint, ...details, cause });
}
