import { zipSync } from "fflate";
import { decodeModel, encodeModel } from "../../src/entries/graph.ts";
import { sha256 } from "../../src/graph/io/digest.ts";
import { mutateJson } from "./mutate-json.ts";
import { mutateMessage } from "./mutate-message.ts";
import type { Random } from "./random.ts";
import { npy, type Seed } from "./seeds.ts";

/** The input with number `index`: one seed, changed. All cuts and all bit flips of a seed come first, then what chance gives. */
export function mutate({ kind, bytes }: Seed, random: Random): Uint8Array {
  if (random.chance(2)) return anyBytes(bytes, random);
  switch (kind) {
    case "model":
      return random.chance(4) ? mutateMetadata(bytes, random) : mutateMessage(bytes, random);
    case "safetensors":
    case "state":
      return mutateSafetensors(bytes, random);
    case "set":
      return new TextEncoder().encode(mutateJson(new TextDecoder().decode(bytes), random));
    case "journal":
    case "manifest":
      return mutateManifest(bytes, random);
    case "npy":
      return mutateArray(random);
    case "npz":
      return mutateArchive(random);
    default:
      return anyBytes(bytes, random);
  }
}

/** What a model's metadata hold as JSON: plans and records. Models without such are changed elsewhere. */
function mutateMetadata(bytes: Uint8Array, random: Random): Uint8Array {
  const model = decodeModel(bytes);
  const written = [...model.metadata].filter(([, text]) => text.startsWith("{"));
  if (written.length === 0) return mutateMessage(bytes, random);
  const [key, text] = random.of(written);
  model.metadata.set(key, mutateJson(text, random));
  return encodeModel(model);
}

const INTERESTING = [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0xfe, 0x22, 0x5c, 0x7b, 0x2e];

function anyBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const changed = Uint8Array.from(bytes);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(changed.length);
    switch (random.below(6)) {
      case 0:
        return changed.subarray(0, at);
      case 1:
        changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 2:
        changed[at] = random.of(INTERESTING);
        break;
      case 3:
        changed.fill(random.of([0, 0xff]), at, at + random.of([2, 4, 8]));
        break;
      case 4:
        return Buffer.concat([changed.subarray(0, at), changed.subarray(Math.max(0, at - random.below(64)))]);
      default:
        return Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + random.below(16))]);
    }
  }
  return changed;
}

function mutateSafetensors(bytes: Uint8Array, random: Random): Uint8Array {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = new TextEncoder().encode(mutateJson(new TextDecoder().decode(bytes.subarray(8, 8 + length)), random));
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(header.length), true);
  return Buffer.concat([size, header, bytes.subarray(8 + length)]);
}

/** Wrong in what it says, right in its hash. */
function mutateManifest(bytes: Uint8Array, random: Random): Uint8Array {
  const [text = ""] = new TextDecoder().decode(bytes).split(/\n(?=[0-9a-f]{64}\n$)/);
  const changed = mutateJson(text, random);
  return new TextEncoder().encode(`${changed}\n${sha256(new TextEncoder().encode(changed))}\n`);
}

function mutateArray(random: Random): Uint8Array {
  const dims = Array.from({ length: random.of([0, 1, 2, 3, 64, 65, 20_000]) }, () =>
    random.of(["1", "2", "3", "0", "-1", "9007199254740993", "99999999999999999999", "", "x"]),
  );
  const type = random.of(["<f4", "<i8", "|b1", ">f4", "|O", "<c8", "<U3", "|V8", "<f", "", "<f40000000000"]);
  const order = random.of(["True", "False", "None", "1"]);
  const shape = `'shape': (${dims.join(", ")}${random.chance(2) ? "," : ""})`;
  const parts = [`'descr': '${type}'`, `'fortran_order': ${order}`, shape, "'x': 1", "'descr': '<f8'"];
  const kept = parts.filter((_, index) => (index < 3 ? !random.chance(10) : random.chance(10)));
  return npy(
    `{${kept.join(", ")}${random.of([", ", "", " ".repeat(1000)])}}\n`,
    new Uint8Array(random.of([0, 4, 8, 24, 48, 7])),
  );
}

function mutateArchive(random: Random): Uint8Array {
  const names = [
    "x.npy",
    "../x.npy",
    "/x.npy",
    "__proto__.npy",
    ".npy",
    "x",
    "\0.npy",
    "é.npy",
    `${"a".repeat(70000)}.npy`,
  ];
  const files = Array.from(
    { length: 1 + random.below(3) },
    () => [random.of(names.slice(0, 8)), mutateArray(random)] as const,
  );
  return zipSync(Object.fromEntries(files), { level: random.of([0, 6, 9]) });
}
