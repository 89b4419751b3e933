import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { Tensor } from "../../graph/tensor.ts";

type Dims = readonly number[];
type InputShape = NonNullable<InputSpec["shape"]>;

const product = (dims: Dims): number => dims.reduce((size, dim) => size * dim, 1);
const suits = (dims: Dims, wanted: InputShape): boolean =>
  dims.length === wanted.length &&
  dims.every((dim, axis) => axis === 0 || typeof wanted[axis] !== "number" || wanted[axis] === dim);

interface Way {
  readonly what: string;
  /** The sizes that the samples then have; null where this is no way. */
  readonly dims: (dims: Dims, wanted: InputShape) => Dims | null;
  /** How the values move; without it they stay in their order. */
  readonly move?: (tensor: Tensor) => Tensor;
}

/** Ways to give samples along the first axis another shape, the first that is one is taken. */
const WAYS: readonly Way[] = [
  {
    what: "channels last to channels first",
    dims: ([n = 0, h = 0, w = 0, c = 0], wanted) => (wanted.length === 4 && wanted[1] === c ? [n, c, h, w] : null),
    move: channelsFirst,
  },
  {
    what: "an axis of one channel added",
    dims: (dims, wanted) =>
      dims.length >= 2 && wanted.length === dims.length + 1 && wanted[1] === 1 ? dims.toSpliced(1, 0, 1) : null,
  },
  {
    what: "an axis of size 1 added",
    dims: (dims, wanted) => (wanted.length === dims.length + 1 && wanted.at(-1) === 1 ? [...dims, 1] : null),
  },
  {
    what: "the last axis, of size 1, removed",
    dims: (dims, wanted) => (wanted.length === dims.length - 1 && dims.at(-1) === 1 ? dims.slice(0, -1) : null),
  },
  {
    what: "each sample flattened",
    dims: ([n = 0, ...rest], wanted) =>
      rest.length > 1 && wanted.length === 2 && wanted[1] === product(rest) ? [n, product(rest)] : null,
  },
  {
    what: "each sample folded into the input's axes",
    dims: ([n = 0, ...rest], [, ...wanted]) => {
      const sizes = wanted.filter((dim) => typeof dim === "number");
      const isFixed = sizes.length === wanted.length && wanted.length > 1;
      return isFixed && rest.length === 1 && product(sizes) === rest[0] ? [n, ...sizes] : null;
    },
  },
];

/** The tensor in the shape that the input wants, where it has another and there is a way; else as it is. */
export function fitShape({ name, shape }: InputSpec, tensor: Tensor, tell: (note: string) => void): Tensor {
  const { dims } = tensor;
  if (shape === null || dims.length === 0 || suits(dims, shape)) return tensor;
  for (const way of WAYS) {
    const becomes = way.dims(dims, shape);
    if (becomes === null || product(becomes) !== product(dims) || !suits(becomes, shape)) continue;
    if (way.move !== undefined && dims.length !== shape.length) continue;
    tell(`"${name}": ${way.what}, [${dims}] to [${becomes}]`);
    return way.move?.(tensor) ?? Tensor.from(tensor.dtype, becomes, tensor.values());
  }
  return tensor;
}

function channelsFirst(tensor: Tensor): Tensor {
  const [n = 0, h = 0, w = 0, c = 0] = tensor.dims;
  const from = tensor.values();
  const to = from.slice();
  const pixels = h * w;
  for (let sample = 0; sample < n; sample++) {
    const start = sample * pixels * c;
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let channel = 0; channel < c; channel++)
        to[start + channel * pixels + pixel] = from[start + pixel * c + channel] as never;
    }
  }
  return Tensor.from(tensor.dtype, [n, c, h, w], to);
}
