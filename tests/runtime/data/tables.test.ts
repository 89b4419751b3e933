import { describe, expect, it } from "vitest";
import { openData } from "../../../src/entries/run.ts";
import { readData } from "../../../src/index.ts";
import { place, shown } from "../../support/data-content.ts";
import { rejectionOf } from "../../support/errors.ts";

describe("tables", () => {
  it("row 61: have features and labels; headers, BOMs, CRLF, quotes and empty lines are seen through", async () => {
    const text = '\uFEFFage,"in,come",species\r\n1,2.5,cat\r\n\r\n3,-4e1,"dog"\r\n5,6,cat\r\n';
    const content = await readData(place("t.csv", text));
    expect(shown(content)).toEqual({
      features: [
        [3, 2],
        [1, 2.5, 3, -40, 5, 6],
      ],
      labels: [[3], [0, 1, 0]],
    });
    expect(content.classes).toEqual({ labels: ["cat", "dog"] });
    expect(content.where?.("labels", 1)).toMatch(/t\.csv:4:3$/);
  });

  it("without names are read from the first row on; tabs, a label elsewhere, chosen columns, no label", async () => {
    expect(shown(await readData(place("t.csv", "1,2,0\n3,4,1\n")))).toEqual({
      features: [
        [2, 2],
        [1, 2, 3, 4],
      ],
      labels: [[2], [0, 1]],
    });
    const path = place("t.tsv", "label\ta\tb\n0.5\t1\t2\n1.5\t3\t4\n");
    expect(shown(await readData(path))).toEqual({
      features: [
        [2, 2],
        [1, 2, 3, 4],
      ],
      labels: [[2], [0.5, 1.5]],
    });
    expect(shown(await readData(path, { label: "b", columns: ["a"] }))).toEqual({
      features: [
        [2, 1],
        [1, 3],
      ],
      labels: [[2], [2, 4]],
    });
    expect(shown(await readData(path, { label: null }))).toEqual({
      features: [
        [2, 3],
        [0.5, 1, 2, 1.5, 3, 4],
      ],
    });
    expect((await rejectionOf(readData(path, { columns: ["c"] }))).hint).toContain("label, a, b");
  });

  it.each([
    ["a ragged row", "a,b\n1,2\n3\n", "3:2: the row has 1 cells, the first has 2"],
    ["a row that is too long", "a,b\n1,2\n3,4,5\n", "3:3: the row has 3 cells"],
    ["NaN", "a,label\n1,0\nNaN,1\n", '3:1: "NaN" is no finite number, column "a"'],
    ["a whole number beyond float32", "a,label\n16777217,0\n", "2:1: float32, which features are, cannot hold"],
    ["infinity", "a,label\n1e999,0\n", '2:1: "1e999" is no finite number'],
    ["an empty cell", "a,label\n1,0\n,1\n", "3:1: an empty cell is no finite number"],
    ["text", "a,label\n1,0\nx,1\n", '3:1: "x" is no finite number'],
    ["an empty label", "a,label\n1,0\n2,\n", '3:2: the label is empty, column "label"'],
    ["one label of text", "a,label\n1,0\n2,1\n3,x\n", '4:2: "x" is no number, as most labels are'],
    ["two columns of one name", "a,a\n1,2\n", 'two columns are named "a"'],
    ["a quote that is not closed", 'a,label\n1,"0\n2,1\n', "a quote is opened and not closed"],
    ["nothing", "", "the file has no rows"],
    ["names alone", "a,b\n", "the file has no rows"],
  ])("row 61: with %s are refused by line and column", async (_, text, message) => {
    const path = place("t.csv", text);
    const error = await rejectionOf(readData(path));
    expect([error.code, error.exitCode, error.file]).toEqual(["E_TABLE", 5, path]);
    expect(error.message).toContain(message);
  });

  it("cells apart by semicolons, tabs or bars are found out and told, once for several files", async () => {
    const expected = {
      features: [
        [2, 2],
        [1, 2.5, 3, 4],
      ],
      labels: [[2], [0, 1]],
    };
    for (const [separator, shownAs] of [
      [";", '";"'],
      ["\t", '"\\t"'],
      ["|", '"|"'],
    ] as const) {
      const text = "a,b,label\r\n1,2.5,0\r\n3,4,1\r\n".replaceAll(",", separator);
      const told: string[] = [];
      const path = place("t.csv", text);
      const content = await openData(`${path},${path}`, { tell: (note) => told.push(note) });
      expect(shown(await readData(path))).toEqual(expected);
      expect(content.tensors.map(({ tensor }) => tensor.dims)).toEqual([[4, 2], [4]]);
      expect(told).toEqual([
        `${path}: cells are separated by ${shownAs}`,
        `${path}: 2 features, a, b; the label is label`,
      ]);
    }
    expect(shown(await readData(place("t.tsv", "a,b,label\n1,2.5,0\n3,4,1\n")))).toEqual(expected);
  });

  it("numbers with decimal commas are refused, with a command that mends them", async () => {
    for (const text of ["a;b;label\n1,5;2;0\n3;4;1\n", "1,5;2,5;0\n3;4;1\n"]) {
      const error = await rejectionOf(readData(place("t.csv", text)));
      expect([error.code, error.message, error.hint]).toEqual([
        "E_TABLE",
        expect.stringMatching(/[12]:1: "1,5" is no finite number/),
        expect.stringContaining("sed 's/,/./g'"),
      ]);
    }
  });

  it.each([
    ["a missing cell", ",2,3,0\n1,2,3,0\n"],
    ["a word for a missing number", "NA,5.1,3.5,0\n1,5,3,1\n"],
    ["a word for a missing number before others that count", "NA,1,2,3\n1,5,3,1\n"],
    ["a missing cell before others that count", ",0,1\n1,5,3\n"],
    ["the numbers of columns, as of a table without names", "0,1,2,3\n5.1,3.5,1.4,0.2\n"],
    ["these and a word", "0,1,2,species\n5.1,3.5,1.4,setosa\n"],
  ])("row 61: a first row of %s may be names or data, and is neither in silence", async (_, text) => {
    const path = place("t.csv", text);
    const error = await rejectionOf(readData(path));
    expect([error.code, error.message, error.hint]).toEqual([
      "E_TABLE",
      expect.stringMatching(/1:1: the first row, .*, may be names or data/),
      expect.stringContaining("--no-header"),
    ]);
    expect((await readData(path, { header: true, columns: ["1"] })).tensors[0]?.tensor.dims[0]).toBe(1);
  });

  it("a first row of names that count is names: of pixels, of years", async () => {
    for (const head of ["label,0,1,2", "country,1990,1995,2000"]) {
      const content = await readData(place("t.csv", `${head}\n7,10,20,30\n`), {
        label: head.slice(0, head.indexOf(",")),
      });
      expect(shown(content)).toEqual({
        features: [
          [1, 3],
          [10, 20, 30],
        ],
        labels: [[1], [7]],
      });
    }
  });

  it("the column of row numbers that pandas writes is left out, and told", async () => {
    for (const name of ["", "Unnamed: 0"]) {
      const told: string[] = [];
      const path = place("t.csv", `${name},a,label\n0,1.5,0\n1,2.5,1\n`);
      const content = await openData(path, { tell: (note) => told.push(note) });
      expect(shown(content)["features"]).toEqual([
        [2, 1],
        [1.5, 2.5],
      ]);
      expect(told.at(-1)).toMatch(/the first column has no name and counts rows.*left out \(--columns takes it\)/);
      expect(shown(await readData(path, { columns: ["0", "a"] }))["features"]).toEqual([
        [2, 2],
        [0, 1.5, 1, 2.5],
      ]);
    }
  });

  it("labels of more kinds than there are classes are numbers; a word among them is told by its row", async () => {
    const rows = Array.from({ length: 70_000 }, (_, row) => [row % 7, row / 2]);
    const text = (cells: readonly (readonly (number | string)[])[]): string =>
      ["a,label", ...cells.map((row) => row.join(","))].join("\n");
    const { tensors } = await readData(place("t.csv", text(rows)));
    expect([...(tensors[1]?.tensor.values() ?? [])]).toEqual(rows.map(([, label]) => label));
    const whole = await readData(place("t.csv", text(rows.map(([a = 0], row) => [a, row]))));
    expect([...(whole.tensors[1]?.tensor.values() ?? [])].slice(-2)).toEqual([69_998n, 69_999n]);
    for (const at of [10, 69_000]) {
      const error = await rejectionOf(readData(place("t.csv", text(rows.with(at, [1, "many"] as never)))));
      expect([error.code, error.message]).toEqual([
        "E_TABLE",
        expect.stringContaining(`${at + 2}:2: "many" is no number, as most labels are`),
      ]);
    }
  });

  it("row 61: whole numbers that a number of JavaScript cannot be are refused, of features and of labels", async () => {
    for (const text of ["a,label\n9007199254740993,0\n1,1\n", "a,label\n1,9007199254740993\n2,0.5\n"]) {
      const error = await rejectionOf(readData(place("t.csv", text)));
      expect([error.code, error.message]).toEqual(["E_TABLE", expect.stringContaining("9007199254740993")]);
    }
  });

  it("row 61: of 16 bits, with a mark or without, are refused with the way to convert them", async () => {
    const text = "a,label\n1,0\n2,1\n";
    for (const bytes of [Buffer.from(text, "utf16le"), Buffer.from(`\uFEFF${text}`, "utf16le")]) {
      const error = await rejectionOf(readData(place("t.csv", bytes)));
      expect([error.code, error.hint]).toEqual(["E_TABLE", expect.stringMatching(/iconv.*utf-16/)]);
    }
  });

  it("row 61: with a line that has no end, or in another encoding, are refused", async () => {
    const long = await rejectionOf(readData(place("t.csv", "1".repeat(2 ** 21))));
    expect([long.code, long.message]).toEqual(["E_TABLE", expect.stringContaining("more than 1048576 characters")]);
    const latin = await rejectionOf(readData(place("t.csv", Uint8Array.of(0x61, 0x0a, 0xe9, 0x0a))));
    expect([latin.code, latin.hint]).toEqual(["E_TABLE", expect.stringContaining("iconv")]);
  });
});

describe("several tables", () => {
  it("with the same columns in another order are refused, and put together where the order is said", async () => {
    const [one, other] = [place("1.csv", "a,b,label\n1,2,0\n"), place("2.csv", "b,a,label\n4,3,1\n")];
    const error = await rejectionOf(readData(`${one},${other}`));
    expect([error.code, error.message, error.hint]).toEqual([
      "E_TABLE",
      expect.stringContaining("a, b in one, b, a in another"),
      expect.stringContaining("--columns a,b"),
    ]);
    expect(shown(await readData(`${one},${other}`, { columns: ["a", "b"] }))["features"]).toEqual([
      [2, 2],
      [1, 2, 3, 4],
    ]);
  });
});
