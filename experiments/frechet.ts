/**
 * How far images are from other images, by the features and the classes that a classifier gives them: the formulas of the Frechet inception distance
 * (Heusel et al. 2017) and of the inception score (Salimans et al. 2016), with another network in the place of Inception.
 */

/** Rows of equal length. */
export type Rows = readonly Float64Array[];

interface Gaussian {
  readonly mean: Float64Array;
  readonly covariance: Rows;
}

const entry = (rows: Rows, row: number, column: number): number => rows[row]?.[column] ?? 0;

function matrixOf(size: number, of: (row: number, column: number) => number): Rows {
  return Array.from({ length: size }, (_, row) => Float64Array.from({ length: size }, (__, column) => of(row, column)));
}

function product(a: Rows, b: Rows): Rows {
  const inner = Array.from({ length: b.length }, (_, index) => index);
  return matrixOf(a.length, (row, column) =>
    inner.reduce((sum, index) => sum + entry(a, row, index) * entry(b, index, column), 0),
  );
}

/** @throws RangeError of fewer than two rows */
function gaussianOf(rows: Rows): Gaussian {
  const [first] = rows;
  if (first === undefined || rows.length < 2) throw new RangeError("a covariance needs two rows");
  const mean = first.map((_, column) => rows.reduce((sum, row) => sum + (row[column] ?? 0), 0) / rows.length);
  const centred = rows.map((row) => row.map((value, column) => value - (mean[column] ?? 0)));
  const covariance = matrixOf(mean.length, (one, other) => {
    return centred.reduce((sum, row) => sum + (row[one] ?? 0) * (row[other] ?? 0), 0) / (rows.length - 1);
  });
  return { mean, covariance };
}

const SWEEPS = 60;
const SMALL = 1e-22;

/** Eigenvalues and eigenvectors, as columns, of a symmetric matrix, by Jacobi's rotations. */
export function eigenOf(matrix: Rows): { readonly values: Float64Array; readonly vectors: Rows } {
  const size = matrix.length;
  const a = matrix.map((row) => row.slice());
  const vectors = matrixOf(size, (row, column) => (row === column ? 1 : 0));
  const scale = a.reduce((sum, row) => sum + row.reduce((part, value) => part + value * value, 0), 0);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let off = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const apq = entry(a, p, q);
        off += apq * apq;
        if (apq === 0) continue;
        const theta = (entry(a, q, q) - entry(a, p, p)) / (2 * apq);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const cosine = 1 / Math.hypot(t, 1);
        rotateColumns(a, p, q, cosine, t * cosine);
        rotateRows(a, p, q, cosine, t * cosine);
        rotateColumns(vectors, p, q, cosine, t * cosine);
      }
    }
    if (off <= SMALL * scale) break;
  }
  return { values: Float64Array.from(a, (row, index) => row[index] ?? 0), vectors };
}

function rotateColumns(rows: Rows, p: number, q: number, cosine: number, sine: number): void {
  for (const row of rows) {
    const [left, right] = [row[p] ?? 0, row[q] ?? 0];
    row[p] = cosine * left - sine * right;
    row[q] = sine * left + cosine * right;
  }
}

function rotateRows(rows: Rows, p: number, q: number, cosine: number, sine: number): void {
  const [upper, lower] = [rows[p], rows[q]];
  if (upper === undefined || lower === undefined) return;
  for (const [column, value] of upper.entries()) {
    const other = lower[column] ?? 0;
    upper[column] = cosine * value - sine * other;
    lower[column] = sine * value + cosine * other;
  }
}

/** The symmetric square root of a matrix whose eigenvalues are not negative. */
function rootOf(matrix: Rows): Rows {
  const { values, vectors } = eigenOf(matrix);
  const scaled = vectors.map((row) => row.map((value, column) => value * Math.sqrt(Math.max(0, values[column] ?? 0))));
  return product(
    scaled,
    matrixOf(matrix.length, (row, column) => entry(vectors, column, row)),
  );
}

/**
 * The squared Frechet distance of two normal distributions that have the means and covariances of the rows:
 * |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).
 * @throws RangeError of fewer than two rows
 */
export function frechetDistance(one: Rows, other: Rows): number {
  const [a, b] = [gaussianOf(one), gaussianOf(other)];
  const root = rootOf(a.covariance);
  const { values } = eigenOf(product(product(root, b.covariance), root));
  const between = values.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
  const means = a.mean.reduce((sum, value, at) => sum + (value - (b.mean[at] ?? 0)) ** 2, 0);
  const traces = a.mean.reduce((sum, _, at) => sum + entry(a.covariance, at, at) + entry(b.covariance, at, at), 0);
  return means + traces - 2 * between;
}

/** exp of the mean divergence of the classes' probabilities from their mean: 1 where all are alike, the number of classes at most. */
export function inceptionScore(probabilities: Rows): number {
  const [first = new Float64Array()] = probabilities;
  const mean = first.map((_, at) => probabilities.reduce((sum, row) => sum + (row[at] ?? 0), 0) / probabilities.length);
  const divergences = probabilities.map((row) =>
    row.reduce((sum, value, at) => (value === 0 ? sum : sum + value * Math.log(value / (mean[at] ?? 1))), 0),
  );
  return Math.exp(divergences.reduce((sum, value) => sum + value, 0) / divergences.length);
}
