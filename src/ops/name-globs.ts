import { UsageError } from "../errors.ts";

/** The work of one test is the length of the pattern times that of the name. */
const MOST_CHARACTERS = 1024;

/** What shells and regular expressions read as more than one alternative or repetition, and we do not. */
const EXTENDED = /(?<!\\)[@+?*!]\(|(?<!\\)\([^()]*\||\[\[:/;

/**
 * Whether a parameter's name is among globs: `*` any characters, `?` any one, `[a-z]` one of these, `[!a-z]` one of the others,
 * `{a,b}` either, `\` takes the next as it is. Names are not paths: `*` matches across dots and slashes alike. A name is always
 * matched by itself. The work is linear in the name, whatever the pattern is; regular expressions have no such bound.
 * @param option what the globs were given as, for the error
 * @throws UsageError `E_OPTION` for a pattern of more than 1024 characters, and for one in a syntax that is not this
 */
export function nameMatcher(globs: readonly string[], option: string): (name: string) => boolean {
  const exact = new Set(globs);
  const patterns: Automaton[] = [];
  for (const glob of globs) {
    const tokens = tokensOf(glob, option);
    if (tokens.every(({ kind }) => kind === "character")) exact.add(tokens.map(({ text }) => text).join(""));
    else if (glob.length > MOST_CHARACTERS) throw refusal(glob, option, `is longer than ${MOST_CHARACTERS} characters`);
    else patterns.push(new Automaton(tokens));
  }
  return (name) => exact.has(name) || patterns.some((pattern) => pattern.matches(name));
}

/** The glob that matches this name alone. */
export const globOf = (name: string): string => name.replace(/[\\*?[\]{},()|!@+]/g, "\\$&");

interface Token {
  readonly kind: "character" | "one" | "many" | "open" | "either" | "close";
  readonly text: string;
  /** What "one" stands for. */
  readonly accepts?: (character: string) => boolean;
}

function tokensOf(glob: string, option: string): readonly Token[] {
  if (EXTENDED.test(glob)) {
    throw refusal(glob, option, "has a syntax that is not known here, such as @(a|b), !(a) or [[:digit:]]");
  }
  const tokens: Token[] = [];
  const characters = [...glob];
  for (let at = 0; at < characters.length; at++) {
    const text = characters[at] ?? "";
    const end = text === "[" ? endOfSet(characters, at) : -1;
    if (text === "\\" && at + 1 < characters.length) tokens.push({ kind: "character", text: characters[++at] ?? "" });
    else if (text === "?") tokens.push({ kind: "one", text, accepts: () => true });
    else if (end > 0) {
      tokens.push({ kind: "one", text, accepts: setOf(characters.slice(at + 1, end), glob, option) });
      at = end;
    } else tokens.push({ kind: KINDS[text] ?? "character", text });
  }
  return withBraces(tokens, glob, option);
}

const KINDS: Readonly<Partial<Record<string, Token["kind"]>>> = {
  "*": "many",
  "{": "open",
  ",": "either",
  "}": "close",
};

/** Where the set that begins at `from` ends; -1 where it does not. A bracket right after the first is one of the set. */
function endOfSet(characters: readonly string[], from: number): number {
  const isNegated = characters[from + 1] === "!" || characters[from + 1] === "^";
  return characters.indexOf("]", from + (isNegated ? 3 : 2));
}

function setOf(inner: readonly string[], glob: string, option: string): (character: string) => boolean {
  const isNegated = inner[0] === "!" || inner[0] === "^";
  const members = isNegated ? inner.slice(1) : inner;
  const ranges: (readonly [number, number])[] = [];
  for (let at = 0; at < members.length; at++) {
    const first = codeOf(members[at]);
    const isRange = members[at + 1] === "-" && at + 2 < members.length;
    const last = isRange ? codeOf(members[at + 2]) : first;
    if (last < first)
      throw refusal(glob, option, `has the range ${members.slice(at, at + 3).join("")}, which is empty`);
    ranges.push([first, last]);
    if (isRange) at += 2;
  }
  return (character) => {
    const code = codeOf(character);
    return ranges.some(([first, last]) => first <= code && code <= last) !== isNegated;
  };
}

const codeOf = (character: string | undefined): number => character?.codePointAt(0) ?? 0;

/** Braces that are not closed or hold no comma stand for themselves, as in shells; so do commas outside of braces. */
function withBraces(tokens: readonly Token[], glob: string, option: string): readonly Token[] {
  const special = new Set<Token>();
  const open: { readonly token: Token; readonly commas: Token[]; readonly from: number }[] = [];
  for (const [at, token] of tokens.entries()) {
    if (token.kind === "open") open.push({ token, commas: [], from: at });
    else if (token.kind === "either") open.at(-1)?.commas.push(token);
    else if (token.kind === "close") {
      const group = open.pop();
      if (group === undefined) continue;
      if (group.commas.length > 0) for (const each of [group.token, ...group.commas, token]) special.add(each);
      else if (/^\w+\.\.\w+$/.test(textOf(tokens.slice(group.from + 1, at))))
        throw refusal(glob, option, "has a range in braces, such as {1..3}; write {1,2,3} or [1-3]");
    }
  }
  const isLiteral = (token: Token): boolean => BRACES.has(token.kind) && !special.has(token);
  return tokens.map((token) => (isLiteral(token) ? { kind: "character", text: token.text } : token));
}

const BRACES: ReadonlySet<Token["kind"]> = new Set(["open", "either", "close"]);
const textOf = (tokens: readonly Token[]): string => tokens.map(({ text }) => text).join("");

function refusal(glob: string, option: string, why: string): UsageError {
  const shown = glob.length > 60 ? `${glob.slice(0, 60)}...` : glob;
  return new UsageError("E_OPTION", `the pattern "${shown}" ${why}`, {
    field: option,
    hint: "A pattern is made of *, ?, [a-z], [!a-z] and {a,b}; \\ before one of these takes it as it is.",
  });
}

interface State {
  /** What leads on from here; null: `next` is reached without a character. */
  readonly accepts: ((character: string) => boolean) | null;
  readonly next: readonly number[];
}

/** A nondeterministic automaton, all of whose states are followed at once: nothing is ever tried again. */
class Automaton {
  readonly #states: State[] = [];
  readonly #end: number;

  constructor(tokens: readonly Token[]) {
    const groups: { readonly start: number[]; readonly ends: number[][] }[] = [];
    const add = (accepts: State["accepts"], next: number[]): number[] => {
      this.#states.push({ accepts, next });
      return next;
    };
    const here = (): number => this.#states.length;
    for (const { kind, text, accepts = (character: string) => character === text } of tokens) {
      if (kind === "many") {
        /** Past, or around by way of any one character. */
        const at = here();
        add(null, [at + 1, at + 2]);
        add(() => true, [at]);
      } else if (kind === "open") {
        groups.push({ start: add(null, [here() + 1]), ends: [] });
      } else if (kind === "either") {
        const group = groups.at(-1);
        group?.ends.push(add(null, []));
        group?.start.push(here());
      } else if (kind === "close") {
        for (const end of groups.pop()?.ends ?? []) end.push(here());
      } else add(accepts, [here() + 1]);
    }
    this.#end = here();
  }

  matches(name: string): boolean {
    let reached = this.#closure([0]);
    for (const character of name) {
      const next: number[] = [];
      for (const at of reached) {
        const state = this.#states[at];
        if (state?.accepts?.(character)) for (const each of state.next) next.push(each);
      }
      if (next.length === 0) return false;
      reached = this.#closure(next);
    }
    return reached.has(this.#end);
  }

  #closure(from: readonly number[]): ReadonlySet<number> {
    const reached = new Set(from);
    for (const at of reached) {
      const state = this.#states[at];
      if (state?.accepts === null) for (const each of state.next) reached.add(each);
    }
    return reached;
  }
}
