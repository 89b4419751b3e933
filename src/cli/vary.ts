import { type Command, InvalidArgumentError, type Option } from "commander";
import { UsageError } from "../index.ts";

/** An option and the values that it takes by turns. */
export interface Varied {
  /** As it is typed, without the dashes. */
  readonly option: string;
  readonly values: readonly string[];
}

/** One value for each option that is varied. */
export type Setting = readonly (readonly [option: string, value: string])[];

/** Parses `--vary option=a,b`; values that have commas in them are set apart by bars. */
export function parseVary(text: string, earlier: readonly Varied[]): readonly Varied[] {
  const at = text.indexOf("=");
  const [option, given] = [text.slice(0, at), text.slice(at + 1)];
  const values = given.split(given.includes("|") ? "|" : ",").map((value) => value.trim());
  if (at <= 0 || values.some((value) => value === "")) {
    throw new InvalidArgumentError("Give an option and its values: optimizer=adamw,adan, agr=off,on.");
  }
  if (new Set(values).size < values.length) throw new InvalidArgumentError(`"${given}" has a value twice.`);
  if (earlier.some((each) => each.option === option)) {
    throw new InvalidArgumentError(`"${option}" is varied already; give all its values at once.`);
  }
  return [...earlier, { option, values }];
}

/** Every combination of values, the first option's changing last. */
export function settings(varied: readonly Varied[]): readonly Setting[] {
  return varied.reduce<readonly Setting[]>(
    (all, { option, values }) =>
      all.flatMap((setting) => values.map((value): Setting => [...setting, [option, value]])),
    [[]],
  );
}

/** A setting in a few words. */
export const nameOf = (setting: Setting): string =>
  setting.map(([option, value]) => `${option}=${value}`).join(" ") || "as given";

/** Pairs of settings that differ in one option alone, of which the second has that option's first value. */
export function contrastsOf(varied: readonly Varied[]): readonly { readonly arm: string; readonly against: string }[] {
  return settings(varied).flatMap((setting) =>
    varied.flatMap(({ option, values: [first = ""] }) => {
      const against = setting.map(([name, value]) => [name, name === option ? first : value] as const);
      const arm = nameOf(setting);
      return arm === nameOf(against) ? [] : [{ arm, against: nameOf(against) }];
    }),
  );
}

/**
 * The options of a command line with those of a setting in their place: `on` and `off` for options that take no value, `default` for one that is left out.
 * @param options those that may be varied
 * @throws UsageError `E_OPTION` for one that may not be, or a value that it does not take
 */
export function withSetting<Flags extends object>(flags: Flags, setting: Setting, options: readonly Option[]): Flags {
  const changed: Record<string, unknown> = {};
  for (const [name, value] of setting) {
    const option = options.find(({ long }) => long === `--${name}`);
    if (option === undefined) {
      throw new UsageError("E_OPTION", `--vary: there is no option --${name} that could be varied`, {
        field: "--vary",
        hint: `It may be ${options.map(({ long }) => long?.slice(2)).join(", ")}.`,
      });
    }
    changed[option.attributeName()] = parsedValue(option, value);
  }
  return { ...flags, ...changed };
}

/** @throws UsageError `E_OPTION` for two settings that are one: `lr=0.01,0.010` */
export function requireDistinct(sets: readonly { readonly setting: Setting; readonly own: object }[]): void {
  const seen = new Map<string, Setting>();
  for (const { setting, own } of sets) {
    const key = JSON.stringify(own);
    const before = seen.get(key);
    if (before !== undefined)
      throw new UsageError("E_OPTION", `--vary: ${nameOf(before)} and ${nameOf(setting)} are the same`, {
        field: "--vary",
        hint: "Leave one of them out.",
      });
    seen.set(key, setting);
  }
}

/** The options that were given a value of their own and are varied too, but for those that must be given. */
export function replacedBy(flags: object, varied: readonly Varied[], options: readonly Option[]): readonly string[] {
  const values = new Map<string, unknown>(Object.entries(flags));
  return varied.flatMap(({ option: name }) => {
    const option = options.find(({ long }) => long === `--${name}`);
    const given = option === undefined || option.mandatory ? undefined : values.get(option.attributeName());
    const usual = option?.negate === true ? true : option?.defaultValue;
    return given === undefined || JSON.stringify(given) === JSON.stringify(usual) ? [] : [name];
  });
}

function parsedValue(option: Option, text: string): unknown {
  const name = option.long?.slice(2) ?? "";
  if (!option.required && !option.optional) {
    if (text !== "on" && text !== "off") throw wrong(name, `${text} is neither on nor off`);
    return (text === "on") !== option.negate;
  }
  if (text === "default") {
    if (option.mandatory) throw wrong(name, "it has no default");
    return option.defaultValue;
  }
  try {
    return option.parseArg === undefined ? text : option.parseArg(text, initialOf(option));
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw wrong(name, `"${text}": ${error.message}`);
  }
}

/** What parsers of repeatable options add to. */
const initialOf = (option: Option): unknown => option.defaultValue;

const wrong = (name: string, why: string): UsageError =>
  new UsageError("E_OPTION", `--vary ${name}: ${why}`, { field: "--vary" });

/** The options of a command, to be looked up. */
export const optionsOf = (command: Command): readonly Option[] =>
  command.options.filter(({ long }) => long !== undefined && long !== "--help");
