import { describe, expect, it } from "vitest";
import { Graph, Node } from "../../src/entries/graph.ts";
import { Names } from "../../src/graph/names.ts";
import { Model } from "../../src/index.ts";
import { growthOf, LINEAR } from "../support/growth.ts";

function namesOf(...taken: readonly string[]): Names {
  const graph = new Graph("g");
  graph.append(taken.map((name) => new Node("Constant", [], [], { name })));
  return new Names(new Model(8, graph));
}

describe("a fresh name", () => {
  it("is the hint where it is free, else the first free number behind it", () => {
    const names = namesOf("a", "a_1", "a_3");
    expect(["a", "a", "a", "b", "b"].map((hint) => names.fresh(hint))).toEqual(["a_2", "a_4", "a_5", "b", "b_1"]);
  });

  it("is none that was handed out for another hint", () => {
    const names = namesOf();
    expect(["a_1", "a", "a", "a_1", "a"].map((hint) => names.fresh(hint))).toEqual(["a_1", "a", "a_2", "a_1_1", "a_3"]);
  });

  it("row 100: takes constant time, however often the hint was given", () => {
    const work = (count: number): void => {
      const names = namesOf();
      for (let index = 0; index < count; index++) names.fresh("Constant");
    };
    expect(growthOf(work, 5000)).toBeLessThan(LINEAR);
  });
});
