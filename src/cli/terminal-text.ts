/** Controls (C0, DEL, C1), and what reorders or breaks a line without being one: bidirectional controls, U+2028, U+2029. */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

const escaped = (character: string): string => {
  const short = JSON.stringify(character).slice(1, -1);
  return short.length > 1 ? short : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
};

/** One line for the terminal. Names of files, nodes and tensors may hold anything; what they hold stays on its line. */
export function lineOf(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** A document of JSON on one line: the same document, with nothing in it that a terminal obeys. */
export function jsonLine(document: object): string {
  return lineOf(JSON.stringify(document));
}
