import { truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { readPieces } from "../../../src/runtime/data/read-pieces.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";

const BYTES = Uint8Array.from({ length: 200_000 }, (_, at) => (at * 7919) % 251);

async function opened() {
  const path = join(temporaryFolder(), "data.bin");
  writeFileSync(path, BYTES);
  return { path, handle: await open(path) };
}

describe("readPieces", () => {
  it("fills small and large pieces, in any order, and lets others have their turns", async () => {
    const { path, handle } = await opened();
    const places = Array.from({ length: 3000 }, (_, at) => {
      const length = at % 500 === 499 ? 20_000 : 1 + (at % 64);
      return { offset: (at * 104_729) % (BYTES.length - length), length };
    });
    const pieces = places.map(({ offset, length }) => ({ offset, into: new Uint8Array(length) }));
    let turns = 0;
    let isDone = false;
    const reading = readPieces(handle, path, pieces).then(() => {
      isDone = true;
    });
    for (; !isDone; turns++) await setImmediate();
    await reading;
    await handle.close();
    expect(turns).toBeGreaterThan(1);
    for (const [index, { offset, length }] of places.entries())
      expect(Buffer.compare(pieces[index]?.into ?? Buffer.alloc(0), BYTES.subarray(offset, offset + length))).toBe(0);
  });

  it.each([16, 20_000])("row 62: of a file that has become shorter is refused by name: %i bytes", async (length) => {
    const { path, handle } = await opened();
    truncateSync(path, 1000);
    const error = await rejectionOf(readPieces(handle, path, [{ offset: 990, into: new Uint8Array(length) }]));
    await handle.close();
    expect([error.code, error.file, error.message]).toEqual([
      "E_FILE_CHANGED",
      path,
      expect.stringContaining("ended at byte 1000"),
    ]);
  });
});
