import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { TrainingSession } from "../../src/index.ts";
import { DIGITS } from "./cli.ts";

/** Software Vulkan drivers, for machines without a GPU: Mesa's lavapipe from 25.0 on, and the one inside Debian's Chromium. */
const SOFTWARE_DRIVERS = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
  "/usr/share/vulkan/icd.d/lvp_icd.json",
];

/** Variables under which WebGPU finds a software driver; none where a driver is named already, or none is there. */
export function softwareDriver(): Record<string, string> {
  const driver = SOFTWARE_DRIVERS.find((path) => existsSync(path));
  if (process.env["VK_ICD_FILENAMES"] !== undefined || driver === undefined) return {};
  return { VK_ICD_FILENAMES: driver, XDG_RUNTIME_DIR: process.env["XDG_RUNTIME_DIR"] ?? tmpdir() };
}

/** Why WebGPU does not work here; null where it does. */
export async function whyNoWebGpu(): Promise<string | null> {
  Object.assign(process.env, softwareDriver());
  const files = {
    checkpointState: `${DIGITS}/checkpoint`,
    trainModel: `${DIGITS}/training_model.onnx`,
  };
  try {
    const session = await TrainingSession.create(files, { runtime: "ort-node", executionProviders: ["webgpu"] });
    await session.release();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
