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

export async function rejectionOf(promise: Promise<unknown>): Promise<OnnxAgrError> {
  const outcome = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(OnnxAgrError);
  return outcome as OnnxAgrError;
}
