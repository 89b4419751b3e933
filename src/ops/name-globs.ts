import picomatch from "picomatch";

/** Whether a parameter's name is among globs. Names are not paths: `*` matches across dots and slashes alike. */
export function nameMatcher(globs: readonly string[]): (name: string) => boolean {
  const patterns = globs.map((glob) => picomatch.makeRe(glob, { bash: true, dot: true, nonegate: true }));
  return (name) => globs.includes(name) || patterns.some((pattern) => pattern.test(name));
}
