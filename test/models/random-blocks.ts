import { WEIGHT_TYPES, WeightType } from '../../kernels/weight-type.js';
import { brainBits, halfBits } from './float-bits.js';
import type { Random } from './random.js';

// As in random.ts: a global is slow to look up under jest.
const { abs, max, min, round } = Math;

/** Where a block keeps its half-precision scale and, if it has one, its minimum. */
interface ScalePlace {
  scale: number;
  minimum?: number;
  /** Minimum as a multiple of the scale, chosen so that weights have mean 0. */
  minimumRatio?: number;
  /** Root mean square of a weight when the scale is 1 and all other bits are random (minima as below). */
  rms: number;
}

const IQ4_NL_VALUES = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const PLACES: ReadonlyMap<number, ScalePlace> = new Map([
  [WeightType.Q4_0, { scale: 0, rms: Math.sqrt(21.5) }],
  [WeightType.Q4_1, { scale: 0, minimum: 2, minimumRatio: -7.5, rms: Math.sqrt(21.25) }],
  [WeightType.Q5_0, { scale: 0, rms: Math.sqrt(85.5) }],
  [WeightType.Q5_1, { scale: 0, minimum: 2, minimumRatio: -15.5, rms: Math.sqrt(85.25) }],
  [WeightType.Q8_0, { scale: 0, rms: Math.sqrt((255 * 255 - 1) / 12) }],
  [WeightType.Q2_K, { scale: 80, minimum: 82, minimumRatio: 1.5, rms: Math.sqrt(98) }],
  [WeightType.Q3_K, { scale: 108, rms: Math.sqrt(341.5 * 5.5) }],
  [WeightType.Q4_K, { scale: 0, minimum: 2, minimumRatio: 7.5, rms: Math.sqrt(28477.5) }],
  [WeightType.Q5_K, { scale: 0, minimum: 2, minimumRatio: 15.5, rms: Math.sqrt(114281.5) }],
  [WeightType.Q6_K, { scale: 208, rms: Math.sqrt(((255 * 255 - 1) / 12) * 341.5) }],
  [WeightType.IQ4_NL, { scale: 0, rms: Math.sqrt(IQ4_NL_VALUES.reduce((sum, v) => sum + v * v, 0) / 16) }],
]);

/** Root mean square of the sixteen MXFP4 values 0, ½, 1, 1½, 2, 3, 4, 6 and their negatives. */
const MXFP4_RMS = Math.sqrt(8.5625);

/**
 * Fills `bytes` (whole blocks of `type`) with random weights of about the given root mean square and mean 0.
 * Quantised blocks are made of random bits, so every code and every sub-scale occurs, which quantised real numbers
 * would not reach. Throws RangeError for types it does not know.
 */
export function fillRandom(type: number, bytes: Uint8Array, rms: number, random: Random): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (type) {
    case WeightType.F32:
      for (let i = 0; i < bytes.length; i += 4) view.setFloat32(i, random.normal() * rms, true);
      return;
    case WeightType.F16:
      for (let i = 0; i < bytes.length; i += 2) view.setUint16(i, halfBits(random.normal() * rms), true);
      return;
    case WeightType.BF16:
      for (let i = 0; i < bytes.length; i += 2) view.setUint16(i, brainBits(random.normal() * rms), true);
      return;
  }
  fillBits(bytes, random);
  const { blockBytes } = WEIGHT_TYPES.get(type) ?? { blockBytes: 0 };
  if (type === WeightType.MXFP4) {
    const exponent = Math.round(Math.log2(rms / MXFP4_RMS)) + 127;
    for (let at = 0; at < bytes.length; at += blockBytes) bytes[at] = exponent - (random.uint32() & 1);
    return;
  }
  const place = PLACES.get(type);
  if (!place) throw new RangeError(`no random blocks of weight type ${type}`);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    // Codes are not symmetric around 0 in every type; a random sign of the scale makes the mean 0.
    const sign = random.uint32() & 1 ? 1 : -1;
    const scale = (sign * rms * (0.75 + 0.5 * random.uniform())) / place.rms;
    view.setUint16(at + place.scale, halfBits(scale), true);
    if (place.minimum !== undefined && place.minimumRatio !== undefined)
      view.setUint16(at + place.minimum, halfBits(scale * place.minimumRatio), true);
    if (type === WeightType.Q2_K) followScalesQ2(bytes, at, random);
    if (type === WeightType.Q4_K) followScales(bytes, at + 4, random);
    if (type === WeightType.Q5_K) followScales(bytes, at + 4, random);
    if (type === WeightType.Q8_0) replaceMinus128(bytes, at + 2, at + 34);
    if (type === WeightType.Q6_K) replaceMinus128(bytes, at + 192, at + 208);
  }
}

/** Encodes numbers exactly or with nearest rounding. Types F32, F16, BF16, Q8_0 and Q4_0 only; else RangeError. */
export function encodeRow(type: number, row: Float32Array, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (type) {
    case WeightType.F32:
      row.forEach((value, i) => view.setFloat32(i * 4, value, true));
      return;
    case WeightType.F16:
      row.forEach((value, i) => view.setUint16(i * 2, halfBits(value), true));
      return;
    case WeightType.BF16:
      row.forEach((value, i) => view.setUint16(i * 2, brainBits(value), true));
      return;
    case WeightType.Q8_0:
      for (let block = 0; block * 32 < row.length; block++) {
        const part = row.subarray(block * 32, block * 32 + 32);
        const scale = part.reduce((most, value) => max(most, abs(value)), 0) / 127;
        view.setUint16(block * 34, halfBits(scale), true);
        part.forEach((value, i) => view.setInt8(block * 34 + 2 + i, scale === 0 ? 0 : round(value / scale)));
      }
      return;
    case WeightType.Q4_0:
      for (let block = 0; block * 32 < row.length; block++) {
        const part = row.subarray(block * 32, block * 32 + 32);
        const scale = part.reduce((most, value) => (abs(value) > abs(most) ? value : most), 0) / -8;
        const code = (i: number) => min(15, round(scale === 0 ? 8 : part[i]! / scale + 8));
        view.setUint16(block * 18, halfBits(scale), true);
        for (let i = 0; i < 16; i++) view.setUint8(block * 18 + 2 + i, code(i) | (code(i + 16) << 4));
      }
      return;
    default:
      throw new RangeError(`rows of numbers are encoded as F32, F16, BF16, Q8_0 or Q4_0, not as type ${type}`);
  }
}

function fillBits(bytes: Uint8Array, random: Random): void {
  const numbers = new Uint32Array(Math.ceil(bytes.length / 4));
  random.fill(numbers);
  bytes.set(new Uint8Array(numbers.buffer, 0, bytes.length));
}

/**
 * Makes each 4-bit minimum its scale with a random last bit. Independent minima would give whole sub-blocks a common
 * offset, and products of two such rows have many times the intended size.
 */
function followScalesQ2(bytes: Uint8Array, from: number, random: Random): void {
  const noise = random.uint32();
  for (let i = 0; i < 16; i++) {
    const scale = bytes[from + i]! & 15;
    bytes[from + i] = scale | ((scale ^ ((noise >>> i) & 1)) << 4);
  }
}

/** The same for eight 6-bit scales and minima in twelve bytes, with two random bits. */
function followScales(bytes: Uint8Array, from: number, random: Random): void {
  const noise = random.uint32();
  for (let i = 0; i < 4; i++) {
    // Byte i holds the scale of sub-block i and the two high bits of sub-block i + 4; byte i + 4 their minima;
    // byte i + 8 the low four bits of both of sub-block i + 4.
    const low = bytes[from + 8 + i]! & 15;
    bytes[from + 4 + i] = bytes[from + i]! ^ ((noise >>> (4 * i)) & 3);
    bytes[from + 8 + i] = low | ((low ^ ((noise >>> (4 * i + 2)) & 3)) << 4);
  }
}

/** No quantiser writes −128, and integer kernels may rely on that. */
function replaceMinus128(bytes: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i++) if (bytes[i] === 128) bytes[i] = 127;
}
