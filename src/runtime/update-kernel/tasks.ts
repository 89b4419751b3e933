import type { KernelCall } from "./compile.ts";
import { bytesFor, LINE } from "./memory.ts";

/** What one thread does of an update: functions of the module with their arguments. */
export type Task = readonly (readonly [kernel: number, ...arguments_: readonly number[]])[];

/**
 * Divides the calls of an update among threads, so that each has as many numbers to go over.
 * @param addressOf where a tensor or number begins
 */
export function divide(
  calls: readonly KernelCall[],
  threads: number,
  addressOf: (name: string) => number,
): readonly Task[] {
  const bytesOf = ({ size }: KernelCall): number => bytesFor(size);
  const total = calls.reduce((sum, call) => sum + bytesOf(call), 0);
  const share = Math.ceil(total / threads / LINE) * LINE;
  const tasks: [number, ...number[]][][] = Array.from({ length: threads }, () => []);
  let done = 0;
  for (const call of calls) {
    const addresses = [...call.tensors, ...call.numbers].map(addressOf);
    for (let start = 0; start < bytesOf(call); ) {
      const thread = Math.floor(done / share);
      const end = Math.min(bytesOf(call), start + (thread + 1) * share - done);
      tasks[thread]?.push([call.kernel, start, end, ...addresses]);
      done += end - start;
      start = end;
    }
  }
  return tasks.filter((task) => task.length > 0);
}
