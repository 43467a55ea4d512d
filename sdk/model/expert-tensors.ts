import { ModelFormatError } from '../error.js';
import type { ExpertLayer, ExpertRole, RolePlace, TensorInfo } from './model-file.js';

export const EXPERT_ROLES: readonly ExpertRole[] = ['gate', 'up', 'down'];

/** More experts in a layer than any published model has; a larger number is damage. */
const MAX_EXPERTS = 65_536;
const DAMAGED = 'The file is damaged; copy or download it again.';

/**
 * Takes the routed experts out of a GGUF tensor table: `blk.N.ffn_{gate,up,down}_exps.weight`, each of shape
 * {inputs, outputs, experts}, so that an expert is one contiguous slice of each. The tensors found are deleted from
 * `tensors`. Layers whose experts have no gate, or gate and up in one tensor, are other kinds of expert: they are
 * left in the table, for their family to accept or refuse.
 */
export function takeExperts(tensors: Map<string, TensorInfo>, where: string): Map<number, ExpertLayer> {
  const found = new Map<number, Partial<Record<ExpertRole, TensorInfo>>>();
  const merged = new Set<number>();
  for (const tensor of tensors.values()) {
    const match = /^blk\.(0|[1-9]\d{0,4})\.ffn_(gate_up|gate|up|down)_exps\.weight$/.exec(tensor.name);
    if (!match) continue;
    const layer = Number(match[1]);
    if (match[2] === 'gate_up') merged.add(layer);
    else {
      const roles = found.get(layer) ?? {};
      roles[match[2] as ExpertRole] = tensor;
      found.set(layer, roles);
    }
  }
  const experts = new Map<number, ExpertLayer>();
  for (const layer of [...found.keys()].sort((a, b) => a - b)) {
    const { gate, up, down } = found.get(layer)!;
    if (merged.has(layer) || (!gate && up && down)) continue;
    if (!gate || !up || !down)
      throw new ModelFormatError(
        'model/tensor',
        `${where}: layer ${layer} has ${EXPERT_ROLES.filter((r) => found.get(layer)?.[r]).join(' and ')} matrices of experts but no ${EXPERT_ROLES.filter((r) => !found.get(layer)?.[r]).join(' and no ')}`,
        DAMAGED,
      );
    experts.set(layer, expertLayer(layer, { gate, up, down }, where));
    for (const tensor of [gate, up, down]) tensors.delete(tensor.name);
  }
  return experts;
}

function expertLayer(layer: number, tensors: Record<ExpertRole, TensorInfo>, where: string): ExpertLayer {
  const count = tensors.gate.shape[2] ?? 1;
  const [inputs, width] = [tensors.gate.shape[0]!, tensors.gate.shape[1] ?? 1];
  const expected = { gate: [inputs, width], up: [inputs, width], down: [width, inputs] };
  const roles = {} as Record<ExpertRole, RolePlace>;
  for (const [piece, role] of EXPERT_ROLES.entries()) {
    const { name, shape, type, layout, length } = tensors[role];
    const [cols, rows] = expected[role] as [number, number];
    const same = shape[0] === cols && (shape[1] ?? 1) === rows && (shape[2] ?? 1) === count;
    if (!same || shape.length > 3)
      throw new ModelFormatError(
        'model/tensor',
        `${where}: tensor ${name} has shape [${shape.join(', ')}]; [${cols}, ${rows}, ${count}] follows from the gates of layer ${layer}`,
        DAMAGED,
      );
    roles[role] = { piece, offset: 0, type, layout, rows, cols, length: length / count };
  }
  if (count > MAX_EXPERTS)
    throw new ModelFormatError('model/tensor', `${where}: layer ${layer} claims ${count} experts`, DAMAGED);
  const pieces = Array.from({ length: count }, (_, expert) =>
    EXPERT_ROLES.map((role) => {
      const { file, offset } = tensors[role];
      const { length } = roles[role];
      return { file, offset: offset + expert * length, length, crc32c: null };
    }),
  );
  return { layer, roles, pieces };
}
