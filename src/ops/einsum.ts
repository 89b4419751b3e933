/** An equation of Einsum, with letters of their own for what an ellipsis stands for. */
export interface EinsumEquation {
  /** One letter per axis of each operand. */
  readonly terms: readonly string[];
  /** One letter per axis of the result. */
  readonly result: string;
  /** The letters that an ellipsis stands for; their axes broadcast. */
  readonly broadcast: string;
}

const LETTERS = "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba";

/**
 * Reads an equation. Without an arrow the result has the letters that occur once, in alphabetical order, behind an ellipsis.
 * @param ranks the numbers of axes of the operands; they are needed where a term has an ellipsis
 * @returns null where one is needed and not known, or where ellipses stand for different numbers of axes
 */
export function einsumEquation(equation: string, ranks: readonly (number | null)[]): EinsumEquation | null {
  const text = equation.replace(/\s/g, "");
  const [left = "", right] = text.split("->");
  const terms = left.split(",");
  const hidden = terms.map((term, index) => {
    if (!term.includes("...")) return 0;
    const rank = ranks[index] ?? null;
    return rank === null ? null : rank - term.length + 3;
  });
  const known = hidden.filter((count) => count !== null);
  const most = Math.max(0, ...known);
  const isSame = terms.every((term, index) => !term.includes("...") || hidden[index] === most);
  if (known.length < hidden.length || !isSame) return null;
  const broadcast = [...LETTERS]
    .filter((letter) => !text.includes(letter))
    .slice(0, most)
    .join("");
  const open = (term: string): string => term.replace("...", broadcast);
  const letters = left.replace(/[.,]/g, "");
  const once = [...new Set(letters)].filter((letter) => letters.split(letter).length === 2).sort();
  return {
    terms: terms.map(open),
    result: right === undefined ? [broadcast, ...once].join("") : open(right),
    broadcast,
  };
}
