import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readModel } from "../../../src/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";

it("row 19: a file of one byte less than 2 GiB is read, and found to be no model", async () => {
  const path = join(temporaryFolder(), "zeros.onnx");
  writeFileSync(path, "");
  truncateSync(path, 2 ** 31 - 1);
  expect((await rejectionOf(readModel(path))).code).toBe("E_PROTOBUF");
});
