import { expect } from "vitest";
import { OnnxAgrError } from "../../src/index.ts";

/** Runs what should throw one of our errors and gives the error. */
export function errorOf(run: () => unknown): OnnxAgrError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(OnnxAgrError);
    return error as OnnxAgrError;
  }
  throw new Error("nothing was thrown");
}

/** The same of a promise. Errors of the built package are of its own classes, so what they are is told by their code. */
export async function rejectionOf(promise: Promise<unknown>): Promise<OnnxAgrError> {
  const outcome = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(Error);
  expect(outcome).toHaveProperty("code", expect.stringMatching(/^E_/));
  expect(outcome).toHaveProperty("exitCode");
  return outcome as OnnxAgrError;
}
