import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, it } from "vitest";
import { readData } from "../../../src/index.ts";
import { place, shown } from "../../support/data-content.ts";
import { rejectionOf } from "../../support/errors.ts";

describe("Parquet", () => {
  const bytes = (codec: "SNAPPY" | "UNCOMPRESSED" = "SNAPPY"): Uint8Array =>
    new Uint8Array(
      parquetWriteBuffer({
        codec,
        columnData: [
          { name: "a", data: [1.5, -2, 3], type: "DOUBLE" },
          { name: "b", data: [1n, 2n, 3n], type: "INT64" },
          { name: "species", data: ["cat", "dog", "cat"], type: "STRING" },
        ],
      }),
    );

  it.each(["SNAPPY", "UNCOMPRESSED"] as const)("%s: columns are features, text is classes", async (codec) => {
    const content = await readData(place("t.parquet", bytes(codec)), { label: "species" });
    expect(shown(content)).toEqual({
      features: [
        [3, 2],
        [1.5, 1, -2, 2, 3, 3],
      ],
      labels: [[3], [0, 1, 0]],
    });
    expect(content.classes).toEqual({ labels: ["cat", "dog"] });
  });

  it("row 62: cut off anywhere is refused by file", async () => {
    const whole = bytes();
    for (let length = 0; length < whole.length; length += 7) {
      const error = await rejectionOf(readData(place("t.parquet", whole.subarray(0, length))));
      expect([length, error.exitCode, error.code]).toEqual([length, 5, "E_PARQUET"]);
    }
  });

  it("says of columns of lists what to do instead", async () => {
    const lists = parquetWriteBuffer({ columnData: [{ name: "x", data: [[1, 2], [3]], type: "JSON" }] });
    const error = await rejectionOf(readData(place("t.parquet", new Uint8Array(lists))));
    expect([error.code, error.exitCode, error.message]).toEqual([
      "E_PARQUET",
      5,
      expect.stringContaining('row 1, column "x" holds a list'),
    ]);
  });
});

describe("Parquet as people have it", () => {
  const days = (count: number): Date[] => Array.from({ length: count }, (_, day) => new Date(86_400_000 * day));
  const bytes = new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: "a", data: [1.5, 2.5], type: "DOUBLE" },
        { name: "when", data: days(2), type: "TIMESTAMP" },
        { name: "list", data: [[1, 2], [3]], type: "JSON" },
        { name: "gap", data: [1, null], type: "DOUBLE" },
        { name: "id", data: [9_007_199_254_740_993n, 1n], type: "INT64" },
        { name: "flag", data: [true, false], type: "BOOLEAN" },
        { name: "label", data: [0, 1], type: "INT32" },
      ],
    }),
  );

  it("columns that are not asked for may hold anything", async () => {
    expect(shown(await readData(place("t.parquet", bytes), { columns: ["flag", "a"] }))).toEqual({
      features: [
        [2, 2],
        [1, 1.5, 0, 2.5],
      ],
      labels: [[2], [0, 1]],
    });
  });

  it.each([
    ["when", "E_PARQUET", /row 1, column "when" holds a time/],
    ["list", "E_PARQUET", /row 1, column "list" holds a list/],
    ["gap", "E_TABLE", /row 2, column 4: an empty cell is no finite number/],
    ["id", "E_TABLE", /cannot hold the whole number "9007199254740993"/],
  ])("row 62: column %s is refused by row and name", async (name, code, message) => {
    const error = await rejectionOf(readData(place("t.parquet", bytes), { columns: [name] }));
    expect([error.code, error.exitCode, error.message]).toEqual([code, 5, expect.stringMatching(message)]);
  });
});
