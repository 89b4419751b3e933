/** The same checkpoint with another number for its format's version (FlatBuffers: the first field of the root table). */
export function withVersion(checkpoint: Uint8Array, version: number): Uint8Array {
  const bytes = checkpoint.slice();
  const view = new DataView(bytes.buffer);
  const root = view.getUint32(0, true);
  const table = root - view.getInt32(root, true);
  view.setInt32(root + view.getUint16(table + 4, true), version, true);
  return bytes;
}
