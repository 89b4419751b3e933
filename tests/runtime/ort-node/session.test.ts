import { describe, expect, it } from "vitest";
import { loadOrtNode, type OrtModule } from "../../../src/entries/run.ts";
import { TrainingSession } from "../../../src/index.ts";
import { moduleOf, reachNative } from "../../../src/runtime/ort-native/load.ts";
import { NativeSession } from "../../../src/runtime/ort-native/session.ts";
import { NativeState } from "../../../src/runtime/ort-native/state.ts";
import { testBackend } from "../session.case.ts";

const native = await reachNative();
const binding = await loadOrtNode();

/** The C API with the state on a device, for which the CPU stands in. */
const onDevice: OrtModule = {
  ...moduleOf(native),
  createState: (_, options) =>
    new NativeState(native.tensors, {
      name: "Cpu",
      id: 0,
      create: (model) => NativeSession.create(native, model, options),
    }),
};

for (const [name, ort] of [
  ["through the C API", undefined],
  ["through the binding", binding],
  ["through the C API, the state on a device", onDevice],
] as const) {
  testBackend({
    name: `ort-node, cpu, ${name}`,
    open: (artifacts, options) =>
      TrainingSession.create(artifacts, { ...options, runtime: "ort-node", ...(ort === undefined ? {} : { ort }) }),
    tolerance: 2e-7,
    skip: [],
  });
}

describe("sessions through the C API", () => {
  it("gave back all that they had", () => {
    expect(native.resources.size).toBe(0);
  });
});
