import { attack, type Kind } from "./operations.ts";

/** One input of the parent's. */
export interface Task {
  readonly kind: Kind;
  /** Base64: the channel is JSON. */
  readonly input: string;
}

process.on("message", ({ kind, input }: Task) => {
  void attack(kind, new Uint8Array(Buffer.from(input, "base64"))).then((find) => {
    process.send?.({ find, memory: process.memoryUsage.rss() });
  });
});
process.send?.("ready");
