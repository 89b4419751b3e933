import { describe, expect, it } from "vitest";
import { BackendError } from "../../src/index.ts";
import { requireRoom, requireWebAssembly, requireWebGpu, threadsHere } from "../../src/runtime/ort-web/environment.ts";
import { Unavailable } from "../../src/runtime/unavailable.ts";

const thrown = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return error;
  }
};

/** Node has WebAssembly, and neither a GPU nor isolation of pages. */
describe("what a browser must have", () => {
  it("is WebAssembly with SIMD", () => {
    expect(thrown(requireWebAssembly)).toBeUndefined();
  });

  it("is WebGPU where it is asked for", async () => {
    await expect(requireWebGpu()).rejects.toThrow(Unavailable);
  });

  it("is isolation for more than one thread", () => {
    expect([threadsHere(null), threadsHere(1)]).toEqual([1, 1]);
    const error = thrown(() => threadsHere(4));
    expect(error).toBeInstanceOf(BackendError);
    expect(error).toMatchObject({ code: "E_NOT_ISOLATED", field: "threads" });
  });

  it("is room in WebAssembly for a step: the state, the next one and the gradients", () => {
    expect(thrown(() => requireRoom(2 ** 30))).toBeUndefined();
    expect(thrown(() => requireRoom(1.5 * 2 ** 30))).toMatchObject({
      code: "E_TOO_LARGE",
      message: "a step needs some 4.5 GiB, and WebAssembly has 4.0 at most",
    });
  });
});
