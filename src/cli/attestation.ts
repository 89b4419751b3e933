import { readdir } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { externalFiles, sha256OfFile, writeFileAtomic } from "../entries/graph.ts";
import { ortNodeVersion } from "../entries/run.ts";
import { readModel, UsageError } from "../index.ts";
import { STANDARD } from "./models.ts";
import { packageVersion } from "./package-files.ts";
import { checkTarget, kindOf } from "./target.ts";

/** https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md */
export interface ResourceDescriptor {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

/** An in-toto Statement v1: the files it is about, and what is said of them. */
export function statement(subject: readonly ResourceDescriptor[], predicateType: string, predicate: object): object {
  return { _type: "https://in-toto.io/Statement/v1", subject, predicateType, predicate };
}

/** Names this package in the form that package URLs have. */
export const packageUrl = (): string => `pkg:npm/onnx-agr@${packageVersion()}`;

/** What the numbers may depend on. */
export async function versions(): Promise<Readonly<Record<string, string>>> {
  const runtime = await ortNodeVersion();
  return {
    "onnx-agr": packageVersion(),
    node: process.versions.node,
    ...(runtime === null ? {} : { "onnxruntime-node": runtime }),
  };
}

/** A predicate of SLSA provenance v1: what a command made of its inputs. */
export async function provenance(
  command: string,
  inputs: readonly ResourceDescriptor[],
  options: object,
  results: unknown,
): Promise<object> {
  return {
    buildDefinition: {
      buildType: packageUrl(),
      externalParameters: { command, options },
      resolvedDependencies: inputs,
    },
    runDetails: {
      builder: { id: packageUrl(), version: await versions() },
      byproducts: [{ name: "report", annotations: { results } }],
    },
  };
}

/** SHA-256 of a model with its external data, or of every file of a folder, by their names there. */
export async function digestsOf(path: string): Promise<readonly ResourceDescriptor[]> {
  const isFolder = (await kindOf(path)) === "folder";
  const root = isFolder ? path : dirname(path);
  const files = isFolder ? await filesOf(path) : [basename(path), ...externalFiles(await readModel(path))];
  return Promise.all(files.map(async (name) => ({ name, digest: { sha256: await sha256OfFile(join(root, name)) } })));
}

async function filesOf(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** @throws UsageError `E_OPTION` where the files of a statement are none; as `checkTarget` */
export async function checkAttestation(
  input: string,
  output: string | null,
  { attest, force, dryRun }: { readonly attest?: string; readonly force?: boolean; readonly dryRun?: boolean },
): Promise<void> {
  if (attest === undefined) return;
  if (dryRun === true || [input, output, attest].includes(STANDARD)) {
    throw new UsageError("E_OPTION", "--attest is about files: it goes with neither - nor --dry-run", {
      hint: "Give files for the input, the output and the statement.",
    });
  }
  await checkTarget(input, attest, { force: force === true, inPlace: false });
}

export async function writeAttestation(path: string, document: object): Promise<void> {
  await writeFileAtomic(path, new TextEncoder().encode(`${JSON.stringify(document, null, 2)}\n`));
}
