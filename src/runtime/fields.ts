/** Sets a field whose name may be anything: an assignment to `__proto__` makes none. */
export function setField<T>(fields: Record<string, T>, name: string, value: T): void {
  if (name === "__proto__") Object.defineProperty(fields, name, { value, enumerable: true, configurable: true });
  else fields[name] = value;
}
