/** CRC32C (Castagnoli, RFC 3720 B.4) in TypeScript: for packing, and where no native library reads. Eight bytes a step. */

const POLYNOMIAL = 0x82f63b78;

/** Row k, entry b (at k * 256 + b): what byte b does to the register when k more bytes follow in the same step. */
const TABLE = new Int32Array(8 * 256);
for (let b = 0; b < 256; b++) {
  let r = b;
  for (let bit = 0; bit < 8; bit++) r = (r >>> 1) ^ (r & 1 ? POLYNOMIAL : 0);
  TABLE[b] = r;
}
for (let i = 256; i < TABLE.length; i++) {
  const shorter = TABLE[i - 256]!;
  TABLE[i] = (shorter >>> 8) ^ TABLE[shorter & 255]!;
}

/** CRC32C of `bytes`, continuing from `crc` (0 to begin); an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  const t = TABLE;
  let r = ~crc;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    const a = r ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    r =
      t[0x700 + (a & 255)]! ^
      t[0x600 + ((a >>> 8) & 255)]! ^
      t[0x500 + ((a >>> 16) & 255)]! ^
      t[0x400 + (a >>> 24)]! ^
      t[0x300 + bytes[i + 4]!]! ^
      t[0x200 + bytes[i + 5]!]! ^
      t[0x100 + bytes[i + 6]!]! ^
      t[bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i++) r = (r >>> 8) ^ t[(r ^ bytes[i]!) & 255]!;
  return ~r >>> 0;
}
