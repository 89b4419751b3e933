/**
 * Writes docs/passes.md: the passes that a pipeline may name.
 *
 *     npm run docs
 */

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PASSES } from "../src/entries/graph.ts";

const rows = PASSES.map(({ name, summary, options }) => {
  const kinds = Object.entries(options).map(([option, { what }]) => `\`${option}\`: ${what}`);
  return `| \`${name}\` | ${summary} | ${kinds.join("; ")} |`;
});

/** The text of docs/passes.md. */
export function passesDocument(): string {
  return `# Passes

Made by \`npm run docs\` from the table of passes; a test compares.

A pass changes a model. A pipeline is a list of passes, which run one after another. It is data: a list of names, or of names with options.

    ["inline-functions", { "name": "raise-opset", "options": { "opset": 21 } }, "simplify"]

On the command line it is a JSON file, JSON text, or names with commas between:

    onnx-agr transform model.onnx --passes pipeline.json -o out.onnx
    onnx-agr transform model.onnx --passes inline-functions,simplify -o out.onnx

In a program:

    const model = await readModel("model.onnx");
    const report = runPass(model, pipeline(["inline-functions", { name: "raise-opset", options: { opset: 21 } }]));
    await writeModel("out.onnx", model);

A pass that refuses leaves the model as it was, and so does the whole pipeline: the error names the pass, and nothing is written.
The report says of every pass how much it changed, what it left alone and why. \`changed\` is 0 exactly when nothing changed.

\`--validate\` and the option \`validate\` say when the model is checked: before and after all passes (\`ends\`, the default), after each pass
(\`each\`), or not at all (\`never\`). Every value must be made before it is read, names must be unique, tensors must have the bytes of their
shape, and nodes must have the inputs, outputs and attributes of their operator. \`E_INVALID_RESULT\` names the pass after which a model is not valid.

A pass of your own is an object with a name and a function, and goes into the same list:

    const clear: Pass = {
      name: "clear-doc-strings",
      run: (model) => {
        const changed = model.docString === "" ? 0 : 1;
        model.docString = "";
        return { pass: "clear-doc-strings", changed, skipped: [], notes: [] };
      },
    };
    runPass(model, pipeline(["simplify", clear]));

| pass | what there is afterwards | options |
|---|---|---|
${rows.join("\n")}
`;
}

const FILE = fileURLToPath(new URL("../docs/passes.md", import.meta.url));
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(FILE, passesDocument());
