import { readdirSync, readFileSync } from "node:fs";

/** Processes of this machine that have a variable of this value in their environment, with all of their variables. Linux alone. */
export function processesWith(
  name: string,
  value: string,
): readonly { readonly pid: number; readonly environment: Readonly<Record<string, string>> }[] {
  return readdirSync("/proc").flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isSafeInteger(pid)) return [];
    try {
      const state = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /s, "")[0];
      const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      const environment = Object.fromEntries(
        variables.map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)]),
      );
      return environment[name] === value && state !== "Z" ? [{ pid, environment }] : [];
    } catch {
      /** It has ended meanwhile, or is another user's. */
      return [];
    }
  });
}
