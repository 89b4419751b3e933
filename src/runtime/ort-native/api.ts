import { API_VERSION, ELEMENT_TYPES, LOG_FATAL, ORT_API, type OrtFunction } from "./api-table.ts";
import { type Installation, type Koffi, loadForGood, type NativeArgument, type NativeFunction } from "./koffi.ts";

/** Element types that have numbers on both sides. */
export type ElementType = keyof typeof ELEMENT_TYPES;

/** Type and shape of a native tensor. */
export interface Shape {
  readonly type: ElementType;
  readonly dims: readonly number[];
}

/** What `OrtApi` may write into one argument. */
const CELLS = 1;
/** The most dimensions that a tensor has room for; ONNX Runtime has no limit of its own, and models have single digits. */
const MOST_DIMS = 64;

/**
 * ONNX Runtime's C API over koffi: each function found by its position, each status looked at. Pointers that it gives out are
 * to be released by who asked for them.
 */
export class OrtApi {
  readonly #koffi: Koffi;
  readonly #functions = new Map<OrtFunction, NativeFunction>();
  readonly #table: readonly bigint[];
  /** Memory outside the heap of V8, which does not move. */
  readonly #cell = new BigUint64Array(new ArrayBuffer(8 * CELLS));
  readonly #dims = new BigInt64Array(new ArrayBuffer(8 * MOST_DIMS));
  readonly #env: bigint;
  readonly #allocator: bigint;

  /**
   * Reads the table. The library says its version first, through a struct of two functions that is as old as the API.
   * @throws Error where the library is another than the one installed, or has no such table
   */
  constructor({ koffi, library, version }: Installation) {
    this.#koffi = koffi;
    loadForGood(koffi, library);
    const base = koffi.load(library).func("OrtGetApiBase", "void *", [])();
    if (typeof base !== "bigint") throw new Error("OrtGetApiBase gave nothing");
    const [getApi = 0n, getVersion = 0n] = koffi.decode(base, "void *", 2);
    const said = koffi.decode(getVersion, koffi.proto("const char *", []))();
    if (said !== version) throw new Error(`the library says that it is version ${said}, the package is ${version}`);
    const api = koffi.decode(getApi, koffi.proto("void *", ["uint32_t"]))(API_VERSION);
    if (typeof api !== "bigint") throw new Error(`ONNX Runtime ${said} has no API of version ${API_VERSION}`);
    const last = Math.max(...Object.values(ORT_API).map(({ position }) => position));
    this.#table = koffi.decode(api, "void *", last + 1);
    this.#env = this.make("CreateEnv", LOG_FATAL, "onnx-agr");
    this.#allocator = this.make("GetAllocatorWithDefaultOptions");
  }

  /** The environment: one per process, never released. */
  get env(): bigint {
    return this.#env;
  }

  /** ONNX Runtime's own allocator for memory of the CPU: one per process, never released. */
  get allocator(): bigint {
    return this.#allocator;
  }

  /** Where a function is, for who calls it from another thread. */
  pointerTo(name: OrtFunction): bigint {
    const pointer = this.#table[ORT_API[name].position];
    if (pointer === undefined || pointer === 0n) throw new Error(`OrtApi has no ${name}`);
    return pointer;
  }

  /** A function by itself, whose status is the caller's to look at. */
  functionOf(name: OrtFunction): NativeFunction {
    const known = this.#functions.get(name);
    if (known !== undefined) return known;
    const { result, takes } = ORT_API[name];
    const made = this.#koffi.decode(this.pointerTo(name), this.#koffi.proto(result, takes));
    this.#functions.set(name, made);
    return made;
  }

  /** @throws Error with what ONNX Runtime said, as the binding throws it */
  call(name: OrtFunction, ...args: readonly NativeArgument[]): void {
    const status = this.functionOf(name)(...args);
    if (typeof status === "bigint" && status !== 0n) this.check(status);
  }

  /** Calls a function whose last argument takes a pointer or a number, and returns it. */
  make(name: OrtFunction, ...args: readonly NativeArgument[]): bigint {
    this.#cell[0] = 0n;
    this.call(name, ...args, this.#cell);
    return this.#cell[0];
  }

  /** Looks at statuses that functions gave, and releases all. @throws Error with what the first one says that is no success */
  check(...statuses: readonly (bigint | string | null)[]): void {
    const failed = statuses.filter((status) => typeof status === "bigint" && status !== 0n);
    const [message] = failed.map((status) => this.functionOf("GetErrorMessage")(status));
    for (const status of failed) this.functionOf("ReleaseStatus")(status);
    if (message !== undefined) throw new Error(String(message));
  }

  address(memory: ArrayBufferView): bigint {
    return this.#koffi.address(memory);
  }

  /** A tensor of its own memory, uninitialized. */
  createTensor({ type, dims }: Shape, allocator = this.#allocator): bigint {
    this.#writeDims(dims);
    return this.make("CreateTensorAsOrtValue", allocator, this.#dims, dims.length, ELEMENT_TYPES[type]);
  }

  /** A tensor whose elements lie in memory of JavaScript, which must be kept as long as the tensor. */
  createTensorOver(memory: ArrayBufferView, { type, dims }: Shape): bigint {
    this.#writeDims(dims);
    /** `OrtDeviceAllocator`, `OrtMemTypeDefault`. */
    const info = this.make("CreateMemoryInfo", "Cpu", 0, 0, 0);
    try {
      const [address, bytes] = [this.address(memory), memory.byteLength];
      const shape = [this.#dims, dims.length, ELEMENT_TYPES[type]] as const;
      return this.make("CreateTensorWithDataAsOrtValue", info, address, bytes, ...shape);
    } finally {
      this.call("ReleaseMemoryInfo", info);
    }
  }

  #writeDims(dims: readonly number[]): void {
    if (dims.length > MOST_DIMS) throw new RangeError(`a tensor of ${dims.length} dimensions`);
    for (const [axis, dim] of dims.entries()) this.#dims[axis] = BigInt(dim);
  }

  /** The memory of a tensor on the CPU, as long as the tensor is not released. */
  viewOf(tensor: bigint, bytes: number): ArrayBuffer {
    return bytes === 0 ? new ArrayBuffer(0) : this.#koffi.view(this.make("GetTensorMutableData", tensor), bytes);
  }

  shapeOf(tensor: bigint): Shape {
    const info = this.make("GetTensorTypeAndShape", tensor);
    try {
      const type = elementTypeOf(Number(this.make("GetTensorElementType", info) & 0xffffffffn), "an output");
      const rank = Number(this.make("GetDimensionsCount", info));
      if (rank > MOST_DIMS) throw new RangeError(`a tensor of ${rank} dimensions`);
      this.call("GetDimensions", info, this.#dims, rank);
      return { type, dims: Array.from(this.#dims.subarray(0, rank), Number) };
    } finally {
      this.functionOf("ReleaseTensorTypeAndShapeInfo")(info);
    }
  }

  /** Names of a session's inputs or outputs. */
  namesOf(session: bigint, side: "Input" | "Output"): readonly string[] {
    const count = Number(this.make(`SessionGet${side}Count`, session));
    return Array.from({ length: count }, (_, index) => {
      const text = this.make(`SessionGet${side}Name`, session, index, this.#allocator);
      const name = this.#koffi.decode.string(text);
      this.call("AllocatorFree", this.#allocator, text);
      return name;
    });
  }
}

const TYPES = Object.entries(ELEMENT_TYPES) as readonly (readonly [ElementType, number])[];

/** ONNX Runtime and ONNX have the same numbers for types. @param of who has elements of it @throws Error for one without a name */
export function elementTypeOf(code: number, of: string): ElementType {
  const found = TYPES.find(([, each]) => each === code);
  if (found === undefined) throw new Error(`${of} has element type ${code}, which has no name in JavaScript`);
  return found[0];
}

export function isElementType(type: string): type is ElementType {
  return Object.hasOwn(ELEMENT_TYPES, type);
}
