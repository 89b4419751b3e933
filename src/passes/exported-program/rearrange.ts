import { Tensor } from "../../graph/tensor.ts";

/** A tensor of the same elements or some of them; `from` gives the place of each in the one there is. */
export function rearrange(tensor: Tensor, dims: readonly number[], from: (place: number) => number): Tensor {
  const given = tensor.values();
  const values = given.slice(
    0,
    dims.reduce((product, dim) => product * dim, 1),
  );
  for (let place = 0; place < values.length; place++) {
    const value = given[from(place)];
    if (value !== undefined) values[place] = value;
  }
  return Tensor.from(tensor.dtype, dims, values);
}

/** The transpose of a matrix. */
export function transposed(tensor: Tensor): Tensor {
  const [rows = 0, columns = 0] = tensor.dims;
  return rearrange(tensor, [columns, rows], (place) => (place % rows) * columns + Math.floor(place / rows));
}
