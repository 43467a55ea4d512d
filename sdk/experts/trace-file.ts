import { NO_EXPERT, RoutingTrace, TraceError } from './trace.js';

/**
 * Form of a trace file, little-endian: "PMTR", u32 version 1, u32 layers, u32 expertsPerLayer, u32 usedPerLayer,
 * u32 tokens, then the ids, tokens × layers × usedPerLayer, one byte each when expertsPerLayer ≤ 255 (255 = no expert),
 * else two (65535 = no expert).
 */
const MAGIC = 0x52544d50;
const VERSION = 1;
const HEADER_BYTES = 24;
const LARGEST_NARROW = 255;
const NO_EXPERT_NARROW = 0xff;

/** A trace as bytes; the same trace gives the same bytes. */
export function encodeTrace(trace: RoutingTrace): Uint8Array {
  const narrow = trace.expertsPerLayer <= LARGEST_NARROW;
  const bytes = new Uint8Array(HEADER_BYTES + trace.ids.length * (narrow ? 1 : 2));
  const view = new DataView(bytes.buffer);
  const header = [MAGIC, VERSION, trace.layers, trace.expertsPerLayer, trace.usedPerLayer, trace.tokens];
  header.forEach((value, i) => view.setUint32(i * 4, value, true));
  for (let i = 0; i < trace.ids.length; i++) {
    const id = trace.ids[i] as number;
    if (narrow) bytes[HEADER_BYTES + i] = id === NO_EXPERT ? NO_EXPERT_NARROW : id;
    else view.setUint16(HEADER_BYTES + i * 2, id, true);
  }
  return bytes;
}

/**
 * Reads what {@link encodeTrace} wrote. Nothing in `bytes` is trusted: the length must match the header exactly, before
 * anything is allocated, and every id is checked.
 * @throws TraceError codes trace/format, trace/version, trace/length, trace/shape, trace/id.
 */
export function decodeTrace(bytes: Uint8Array): RoutingTrace {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES || view.getUint32(0, true) !== MAGIC) {
    throw new TraceError(
      'trace/format',
      'This is not a routing trace.',
      'Give a file recorded by PocketMoE.',
    );
  }
  const version = view.getUint32(4, true);
  if (version !== VERSION) {
    throw new TraceError(
      'trace/version',
      `The routing trace has version ${version}; this release reads version ${VERSION}.`,
      'Record the trace again with this release.',
    );
  }
  const layers = view.getUint32(8, true);
  const expertsPerLayer = view.getUint32(12, true);
  const usedPerLayer = view.getUint32(16, true);
  const tokens = view.getUint32(20, true);
  const shape = { layers, expertsPerLayer, usedPerLayer };
  new RoutingTrace(shape, new Uint16Array(0)); // checks the shape before the product is used
  const narrow = expertsPerLayer <= LARGEST_NARROW;
  const expected = HEADER_BYTES + tokens * layers * usedPerLayer * (narrow ? 1 : 2);
  if (bytes.length !== expected) {
    throw new TraceError(
      'trace/length',
      `The routing trace has ${bytes.length} bytes; its header asks for ${expected}.`,
      'Copy or record it again; it was cut off or altered.',
    );
  }
  const ids = new Uint16Array(tokens * layers * usedPerLayer);
  for (let i = 0; i < ids.length; i++) {
    if (narrow) {
      const id = bytes[HEADER_BYTES + i] as number;
      ids[i] = id === NO_EXPERT_NARROW ? NO_EXPERT : id;
    } else ids[i] = view.getUint16(HEADER_BYTES + i * 2, true);
  }
  return new RoutingTrace(shape, ids);
}
