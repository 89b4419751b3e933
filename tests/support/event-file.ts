import protobuf from "protobufjs";

/** The messages of TensorFlow's event.proto and summary.proto that TensorBoard's classic plugins read. */
const SCHEMA = `
syntax = "proto3";
message Event { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; } }
message Summary {
  message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
  message Value { string tag = 1; oneof value { float simple_value = 2; Image image = 4; HistogramProto histo = 5; } }
  repeated Value value = 1;
}
message HistogramProto {
  double min = 1; double max = 2; double num = 3; double sum = 4; double sum_squares = 5;
  repeated double bucket_limit = 6 [packed = true];
  repeated double bucket = 7 [packed = true];
}`;

export interface ReadEvent {
  readonly wallTime: number;
  readonly step?: number;
  readonly fileVersion?: string;
  readonly summary?: {
    readonly value: readonly {
      readonly tag: string;
      readonly simpleValue?: number;
      readonly image?: {
        readonly height: number;
        readonly width: number;
        readonly colorspace: number;
        readonly encodedImageString: Buffer;
      };
      readonly histo?: {
        readonly min: number;
        readonly max: number;
        readonly num: number;
        readonly sum: number;
        readonly sumSquares: number;
        readonly bucketLimit: readonly number[];
        readonly bucket: readonly number[];
      };
    }[];
  };
}

const Event = protobuf.parse(SCHEMA).root.lookupType("Event");

/** Bit by bit, by the polynomial 0x1EDC6F41 that RFC 3720 gives; the package's own has a table of its mirror image. */
function checksum(bytes: Uint8Array): number {
  let register = 0xffffffffn;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const top = ((register >> 31n) & 1n) ^ BigInt((byte >> bit) & 1);
      register = ((register << 1n) & 0xffffffffn) ^ (top === 1n ? 0x1edc6f41n : 0n);
    }
  }
  let crc = 0n;
  for (let bit = 0n; bit < 32n; bit++) crc |= (((register ^ 0xffffffffn) >> bit) & 1n) << (31n - bit);
  const rotated = ((crc >> 15n) | (crc << 17n)) & 0xffffffffn;
  return Number((rotated + 0xa282ead8n) & 0xffffffffn);
}

/** Reads an event file: every record's length and bytes with their checksums. @throws Error where one is wrong */
export function decodeEvents(file: Buffer): readonly ReadEvent[] {
  const events: ReadEvent[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    if (checksum(file.subarray(at, at + 8)) !== file.readUInt32LE(at + 8)) throw new Error(`length at ${at}`);
    const bytes = file.subarray(at + 12, at + 12 + length);
    if (checksum(bytes) !== file.readUInt32LE(at + 12 + length)) throw new Error(`record at ${at}`);
    events.push(Event.toObject(Event.decode(bytes), { longs: Number, bytes: Buffer }) as unknown as ReadEvent);
    at += 16 + length;
  }
  return events;
}
