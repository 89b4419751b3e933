import { Tensor } from "onnxruntime-common";
import { bytesIn } from "../ort-tensor.ts";
import { type ElementType, isElementType, type OrtApi, type Shape } from "./api.ts";
import type { Owned, Resources } from "./resources.ts";

type Elements = Float32Array;
type ElementsOf = (new (buffer: ArrayBuffer) => Elements) & { readonly BYTES_PER_ELEMENT: number };

const arrayOf = (type: ElementType): ElementsOf => ARRAYS[type] as ElementsOf;

/** The arrays that tensors are made of; where there are arrays of float16, a tensor takes those over the same memory. */
const ARRAYS: Readonly<Record<ElementType, object>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
};

function bytesOf(type: ElementType, dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, arrayOf(type).BYTES_PER_ELEMENT);
}

/** The type and shape of a tensor of JavaScript. @throws Error for strings */
export function shapeOf(name: string, { type, dims }: Pick<Tensor, "type" | "dims">): Shape {
  if (isElementType(type)) return { type, dims };
  throw new Error(`"${name}" has elements of type ${type}, which are not handed over`);
}

/** Memory of another device than WebGPU's has no object in JavaScript. */
const NOT_WEBGPU = {} as Tensor.GpuBufferType;

/** Tensors of ONNX Runtime's own memory. */
export class NativeTensors {
  readonly #api: OrtApi;
  readonly #resources: Resources;
  /** The native tensor whose memory a tensor shows. */
  readonly #owners = new WeakMap<Tensor, Owned>();

  constructor(api: OrtApi, resources: Resources) {
    this.#api = api;
    this.#resources = resources;
  }

  /** A tensor whose elements are those of a native one: what is written into one is in the other. Uninitialized. */
  make(shape: Shape): Tensor {
    const owned = this.#resources.own("tensor", this.#api.createTensor(shape));
    const { type, dims } = shape;
    const view = this.#api.viewOf(owned.pointer, bytesOf(type, dims));
    const tensor = new Tensor(type as "float32", new (arrayOf(type))(view), [...dims]);
    this.#owners.set(tensor, owned);
    return tensor;
  }

  /** A tensor over elements that lie in memory of JavaScript, and stay there. */
  makeOver(data: Tensor["data"], { type, dims }: Shape): Tensor {
    const tensor = new Tensor(type as "float32", data as Elements, [...dims]);
    this.#owners.set(
      tensor,
      this.#resources.own("tensor", this.#api.createTensorOver(data as Elements, { type, dims })),
    );
    return tensor;
  }

  /** A tensor on a device, whose elements cannot be read from here. */
  makeOn(allocator: Owned, shape: Shape): Tensor {
    const owned = this.#resources.own("tensor", this.#api.createTensor(shape, allocator.pointer));
    const dispose = (): void => owned.release();
    const tensor = Tensor.fromGpuBuffer(NOT_WEBGPU, {
      dataType: shape.type as "float32",
      dims: [...shape.dims],
      dispose,
    });
    this.#owners.set(tensor, owned);
    return tensor;
  }

  /** The owner of the native tensor behind this one; undefined for a tensor of JavaScript. */
  ownerOf(tensor: Tensor): Owned | undefined {
    return this.#owners.get(tensor);
  }

  release(tensor: Tensor): void {
    this.#owners.get(tensor)?.release();
  }

  copyInto(target: Tensor, source: Tensor): void {
    const [into, from] = [target.data, source.data];
    if (into.constructor === from.constructor) (into as Elements).set(from as Elements);
    else bytesIn(target).set(bytesIn(source));
  }

  /** Reads a tensor that a run made, and releases it. */
  take(pointer: bigint): Tensor {
    try {
      const { type, dims } = this.#api.shapeOf(pointer);
      const view = this.#api.viewOf(pointer, bytesOf(type, dims));
      return new Tensor(type as "float32", new (arrayOf(type))(view.slice(0)), [...dims]);
    } finally {
      this.#api.call("ReleaseValue", pointer);
    }
  }

  /** Gives back what a run made and nobody reads. */
  drop(pointer: bigint): void {
    this.#resources.own("tensor", pointer).release();
  }
}
