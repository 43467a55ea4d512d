/**
 * CRC32C (Castagnoli, RFC 3720 B.4), eight bytes a step: what packing uses, since node:zlib has only the other CRC32.
 * table[k][b] is the remainder of byte b followed by k zero bytes.
 */
const POLYNOMIAL = 0x82f63b78; // bit-reversed 0x1EDC6F41
const TABLES: readonly Int32Array[] = makeTables();

function makeTables(): Int32Array[] {
  const first = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    first[byte] = crc;
  }
  const tables = [first];
  for (let k = 1; k < 8; k++) {
    const previous = tables[k - 1]!;
    tables.push(previous.map((crc) => (crc >>> 8) ^ first[crc & 255]!));
  }
  return tables;
}

/** The CRC32C of `bytes`, as an unsigned number; to continue, pass the CRC of the bytes before as `crc`. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  let c = ~crc;
  let at = 0;
  // Up to the first address that a 32-bit view accepts.
  const head = Math.min(bytes.length, -bytes.byteOffset & 3);
  while (at < head) c = (c >>> 8) ^ t0[(c ^ bytes[at++]!) & 255]!;
  const pairs = (bytes.length - at) >>> 3;
  // Few bytes may end before that address, which a view of even no words would refuse.
  const words =
    pairs > 0 ? new Int32Array(bytes.buffer, bytes.byteOffset + at, pairs * 2) : new Int32Array(0);
  for (let i = 0; i < words.length; i += 2) {
    const a = c ^ words[i]!;
    const b = words[i + 1]!;
    c =
      t7[a & 255]! ^
      t6[(a >>> 8) & 255]! ^
      t5[(a >>> 16) & 255]! ^
      t4[a >>> 24]! ^
      t3[b & 255]! ^
      t2[(b >>> 8) & 255]! ^
      t1[(b >>> 16) & 255]! ^
      t0[b >>> 24]!;
  }
  at += pairs * 8;
  while (at < bytes.length) c = (c >>> 8) ^ t0[(c ^ bytes[at++]!) & 255]!;
  return ~c >>> 0;
}
