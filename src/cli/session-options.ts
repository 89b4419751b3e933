import { type Command, InvalidArgumentError, Option } from "commander";
import { isPortable, isStep, PROVIDERS } from "../entries/run.ts";
import type { Trainable, TrainingSessionOptions } from "../index.ts";
import { refuseIdleRuntimeOptions } from "./idle-options.ts";
import { wholeNumber } from "./values.ts";

/** Options that say what runs the models. */
export interface RuntimeOptions {
  readonly runtime?: "ort-node" | "ort-training";
  readonly ep?: readonly string[];
  readonly threads?: number;
  readonly isolate?: boolean;
}

/** Adds --runtime, --ep, --isolate and --threads to a command. */
export function withRuntime(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--runtime <name>",
        "what runs the models (default: ort-node, or ort-training where that cannot run these artifacts; with ONNX_AGR_NATIVE=0 in the environment, ort-node does without ONNX Runtime's C API)",
      ).choices(["ort-node", "ort-training"]),
    )
    .option(
      "--ep <list>",
      `execution providers in order of preference, of ${PROVIDERS.map(({ name }) => name).join(", ")} (default: cpu)`,
      providers,
    )
    .option("--isolate", "run ort-node in a process of its own, whose crash does not take this one along")
    .option(
      "--threads <n>",
      "threads of the runtime (default: one per core, or as many as the process may use processors; ort-training: 1)",
      wholeNumber(1),
    );
}

export function providers(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !PROVIDERS.some((each) => each.name === name));
  if (unknown === undefined) return names;
  throw new InvalidArgumentError(`"${unknown}" is none of ${PROVIDERS.map(({ name }) => name).join(", ")}.`);
}

/** Which set of a folder that has both a runtime trains. */
export const preferredBy = ({ runtime }: RuntimeOptions): "portable" | "onnxruntime" =>
  runtime === "ort-training" ? "onnxruntime" : "portable";

/** @throws UsageError `E_OPTION` for an option that the runtime does not have */
export function sessionOptionsOf(given: RuntimeOptions, source: Trainable): TrainingSessionOptions {
  refuseIdleRuntimeOptions(given);
  const { runtime, ep, threads, isolate } = given;
  const needsNode =
    isPortable(source) || isStep(source) || isolate === true || ep?.some((name) => name !== "cpu") === true;
  const chosen = runtime ?? (needsNode ? "ort-node" : undefined);
  const options: TrainingSessionOptions = {
    ...(isolate === true ? { isolation: "process" } : {}),
    ...(ep === undefined ? {} : { executionProviders: ep }),
    ...(threads === undefined ? {} : { threads }),
  };
  return { ...options, ...(chosen === undefined ? {} : { runtime: chosen }) };
}
