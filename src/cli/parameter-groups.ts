import { type Command, InvalidArgumentError } from "commander";
import type { ParameterGroup } from "../index.ts";

const SETTINGS: Readonly<Record<string, "learningRateScale" | "weightDecay">> = {
  lr: "learningRateScale",
  decay: "weightDecay",
};

/** Adds --group to a command. */
export function withGroups(command: Command): Command {
  return command.option(
    "--group <globs:settings>",
    "parameters with lr=<factor> or decay=<weight decay> of their own, as in '*.bias,*norm*:decay=0'; repeatable",
    parseGroup,
    [],
  );
}

function parseGroup(text: string, earlier: readonly ParameterGroup[]): readonly ParameterGroup[] {
  const at = text.lastIndexOf(":");
  const settings = text
    .slice(at + 1)
    .split(",")
    .map((setting): readonly [string, number] => {
      const [name = "", value = ""] = setting.split("=").map((part) => part.trim());
      const key = Object.hasOwn(SETTINGS, name) ? SETTINGS[name] : undefined;
      const number = value === "" ? Number.NaN : Number(value);
      if (key !== undefined && Number.isFinite(number) && number >= 0) return [key, number];
      throw new InvalidArgumentError(`"${setting}" is neither lr=<number> nor decay=<number>.`);
    });
  if (at <= 0) throw new InvalidArgumentError("Give globs, a colon, and settings: '*.bias:decay=0'.");
  return [...earlier, { parameters: text.slice(0, at).split(","), ...Object.fromEntries(settings) }];
}
