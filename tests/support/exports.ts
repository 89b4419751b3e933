/** What all entry points of the package export. */
export * from "../../src/entries/graph.ts";
export * from "../../src/entries/run.ts";
export * from "../../src/entries/training.ts";
export * from "../../src/index.ts";
