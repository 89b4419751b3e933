import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HugePages } from "../../../src/runtime/ort-native/huge-pages.ts";
import { findInstallation } from "../../../src/runtime/ort-native/koffi.ts";
import { reachNative } from "../../../src/runtime/ort-native/load.ts";

const SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
const page = existsSync(SIZE) ? Number(readFileSync(SIZE, "utf8")) : 0;

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly flags: string;
}

/** The mapping of this process that an address lies in, as the kernel has it. */
function mappingOf(address: bigint): Mapping | undefined {
  const parts = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return parts
    .map((part) => {
      const [start = "0", end = "0"] = part.split(/[- ]/, 2);
      const [, flags = ""] = /^VmFlags:(.*)$/m.exec(part) ?? [];
      return { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), flags };
    })
    .find(({ start, end }) => start <= address && address < end);
}

describe.skipIf(page === 0)("memory on huge pages", () => {
  const { koffi } = findInstallation();
  const pages = HugePages.reach(koffi);

  it.each([
    ["a whole page", 1, 1],
    ["a bit less than four pages", 3.9, 4],
    ["a bit more than one, whose end would be wasted", 1.1, 1.1],
  ])("%s begins at the border of a page, and the kernel is asked for as much", (_, count, asked) => {
    const bytes = Math.floor(count * page);
    const address = pages?.allocate(bytes) ?? null;
    if (pages === null || address === null) throw new Error("no memory");
    expect(address % BigInt(page)).toBe(0n);
    new Uint8Array(koffi.view(address, bytes)).fill(1);
    const mapping = mappingOf(address);
    expect(mapping?.flags.split(" ")).toContain("hg");
    expect(Number((mapping?.end ?? 0n) - address)).toBeGreaterThanOrEqual(Math.floor(asked * page));
    pages.free(address);
  });

  it("is not taken for less than a page, nor where there is not so much memory", () => {
    expect(pages?.allocate(page - 1)).toBeNull();
    expect(pages?.allocate(2 ** 52)).toBeNull();
  });

  it("holds large tensors; released, they are not to be had", async () => {
    const { api, tensors, resources } = await reachNative();
    const before = resources.size;
    const large = tensors.make({ type: "float32", dims: [page / 4] });
    expect(api.address(large.data as Float32Array) % BigInt(page)).toBe(0n);
    const owner = tensors.ownerOf(large);
    expect(resources.size).toBe(before + 1);
    tensors.release(large);
    tensors.release(large);
    expect(resources.size).toBe(before);
    expect(() => owner?.pointer).toThrow(expect.objectContaining({ code: "E_RELEASED" }));
  });
});
