import { OPTIONS, requireArgument } from "../arguments.ts";
import { BackendError } from "../errors.ts";
import type { Exporter, TrainingSession } from "../runtime/session.ts";
import { plainPrograms, requireKnown } from "../session-settings.ts";
import {
  openIn,
  PORTABLE_SOURCE,
  type PortableSource,
  portableOf,
  WEB_OPTIONS,
  type WebSessionOptions,
} from "./open.ts";

const noExporter: Exporter = () => {
  throw new BackendError("E_UNSUPPORTED", "the trainer carries no passes, which exportModel needs", {
    field: "exportModel",
    hint: 'Import TrainingSession from "onnx-agr/web", or save the state (getState) and export it in Node.js.',
  });
};

/**
 * Trains a portable set in a page that ships nothing but the trainer: sessions without passes, so one step per call, and no
 * `exportModel`.
 * @throws as `readPortable`; BackendError `E_EXECUTION_PROVIDER`, `E_NOT_ISOLATED`, `E_TOO_LARGE`
 */
export async function openTrainer(source: PortableSource, options: WebSessionOptions = {}): Promise<TrainingSession> {
  requireArgument("source", source, PORTABLE_SOURCE);
  requireArgument("options", options, OPTIONS);
  requireKnown(WEB_OPTIONS, options);
  return openIn(plainPrograms(await portableOf(source), options, noExporter), options);
}
