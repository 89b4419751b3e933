import type { KernelMemory } from "../update-kernel/memory.ts";
import type { OrtApi } from "./api.ts";
import type { CallerThread } from "./caller-thread.ts";
import type { HugePages } from "./huge-pages.ts";
import type { Owned, Resources } from "./resources.ts";
import type { Runner } from "./runner.ts";
import type { NativeTensors } from "./tensors.ts";

/** Everything of the process that sessions share. */
export interface Native {
  readonly api: OrtApi;
  readonly resources: Resources;
  readonly runner: Pick<Runner, "call" | "hire" | "load" | "drop" | "close">;
  /** Null where short calls, too, are made by the runner. */
  readonly callerThread: Pick<CallerThread, "takes" | "isDue" | "turn" | "call" | "load" | "drop"> | null;
  readonly tensors: NativeTensors;
  /** Memory of updates that no session has. */
  readonly kernelMemories: KernelMemory[];
  /** What koffi was loaded from. */
  readonly koffiFile: string;
  /** Null where there are none. */
  readonly pages: HugePages | null;
  /** Runs under way: the end of the process cuts them short. */
  readonly running: Set<Owned>;
}
