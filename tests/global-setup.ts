import { execFileSync } from "node:child_process";

/** The command line is tested as it ships: built, as a process. */
export function setup(): void {
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
}
