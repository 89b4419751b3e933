/** Digits of three by five points, row by row. */
const DIGITS: readonly string[] = [
  "111101101101111",
  "010110010010111",
  "111001111100111",
  "111001111001111",
  "101101111001001",
  "111100111001111",
  "111100111101111",
  "111001010010010",
  "111101111101111",
  "111101111001111",
];
const [COLUMNS, ROWS, POINT] = [3, 5, 2];

/** Draws a whole number in white, that ends left of `right` and whose middle is at `middle`, into a picture of red, green and blue. */
export function drawNumber(
  { width, data }: { readonly width: number; readonly data: Uint8Array },
  number: number,
  right: number,
  middle: number,
): void {
  const text = String(number);
  const advance = (COLUMNS + 1) * POINT;
  for (const [place, digit] of [...text].entries()) {
    const left = right - (text.length - place) * advance;
    const points = DIGITS[Number(digit)];
    if (points === undefined || left < 0) continue;
    for (let y = 0; y < ROWS * POINT; y++) {
      for (let x = 0; x < COLUMNS * POINT; x++) {
        if (points[Math.floor(y / POINT) * COLUMNS + Math.floor(x / POINT)] !== "1") continue;
        const top = middle - (ROWS * POINT) / 2 + y;
        data.fill(255, 3 * (top * width + left + x), 3 * (top * width + left + x) + 3);
      }
    }
  }
}
