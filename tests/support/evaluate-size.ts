/**
 * The value of a size that has a name, as `2*batch + div(height - 1,2)`: read in one pass from the left, with the rules of
 * arithmetic in their plainest form.
 */
export function evaluateSize(text: string, sizes: (name: string) => number): number {
  let at = 0;
  const take = (token: string): boolean => {
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  const match = (pattern: RegExp): string | null => {
    const found = new RegExp(pattern.source, "y");
    found.lastIndex = at;
    const token = found.exec(text)?.[0] ?? null;
    at += token?.length ?? 0;
    return token;
  };
  const factor = (): number => {
    if (take("-")) return -factor();
    const digits = match(/\d+/);
    if (digits !== null) return Number(digits);
    const name = match(/[A-Za-z_][\w.:]*/);
    if (name === null) throw new Error(`no size at ${at} of "${text}"`);
    if (!take("(")) return sizes(name);
    const inner = [sum()];
    while (take(",")) inner.push(sum());
    if (!take(")")) throw new Error(`no end at ${at} of "${text}"`);
    if (name !== "div") throw new Error(`"${name}" is not evaluated`);
    return Math.trunc((inner[0] ?? Number.NaN) / (inner[1] ?? Number.NaN));
  };
  const product = (): number => {
    let value = factor();
    while (take("*")) value *= factor();
    return value;
  };
  const sum = (): number => {
    let value = product();
    for (;;) {
      if (take(" + ")) value += product();
      else if (take(" - ")) value -= product();
      else return value;
    }
  };
  const value = sum();
  if (at < text.length) throw new Error(`"${text.slice(at)}" is left of "${text}"`);
  return value;
}
