/** float16 and bfloat16 as numbers and as bit patterns. */

export function fromHalf(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  const value = exponent === 31 ? (fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN) : size;
  return bits & 0x8000 ? -value : value;
}

/** Rounded to the nearest, halves to the even one; what is too large is infinite. */
export function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const steps = roundEven(size / 2 ** (exponent - 10));
  /** A power of two more comes out of the sum by itself. */
  return size === 0 ? sign : sign | (steps < 1024 ? steps : ((exponent + 15) << 10) + (steps - 1024));
}

const single = new Float32Array(1);
const word = new Uint32Array(single.buffer);

export function fromBfloat(bits: number): number {
  word[0] = bits << 16;
  return single[0] ?? Number.NaN;
}

/** Rounded to the nearest, halves to the even one, of what float32 has of it. */
export function toBfloat(value: number): number {
  single[0] = value;
  const bits = word[0] ?? 0;
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function roundEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest === 0.5 ? low + (low % 2) : Math.round(value);
}
