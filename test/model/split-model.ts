import { buildGguf, u32, type Tensor, type Value } from './gguf-builder.js';

/** The files of a model split into `count` parts: the first has all metadata, the others only what they are. */
export function splitModel(
  { entries, tensors }: { entries: Record<string, Value>; tensors: readonly Tensor[] },
  count: number,
): Buffer[] {
  const size = Math.ceil(tensors.length / count);
  return Array.from({ length: count }, (_, i) => {
    const part: Record<string, Value> = {
      'split.no': { type: 2, value: i },
      'split.count': { type: 2, value: count },
      'split.tensors.count': { type: 5, value: tensors.length },
    };
    if (i === 0) Object.assign(part, { ...entries, 'general.extra': u32(1) });
    return buildGguf(part, tensors.slice(i * size, (i + 1) * size));
  });
}
