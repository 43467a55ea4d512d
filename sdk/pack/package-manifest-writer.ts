import { createHash } from 'node:crypto';
import { EXPERT_ROLES } from '../model/expert-tensors.js';
import {
  FORMAT,
  FORMAT_VERSION,
  LAYOUT_VERSION,
  type Extent,
  type Manifest,
} from '../model/package-manifest.js';
import { CREATED_BY } from './created-by.js';
import type { WrittenExtent } from './pack-journal.js';
import type { PackagePlan } from './package-plan.js';

/**
 * The manifest of a written plan. It has no times and no paths, so that the same input always gives the same bytes.
 */
export function makeManifest(plan: PackagePlan, written: readonly WrittenExtent[]): Manifest {
  const extent = (index: number): Extent => {
    const { segment, offset, length } = plan.extents[index]!;
    const { sha256, crc32c } = written[index]!;
    return [segment, offset, length, sha256, [...crc32c]];
  };
  return {
    format: FORMAT,
    formatVersion: FORMAT_VERSION,
    layoutVersion: LAYOUT_VERSION,
    name: plan.name,
    architecture: plan.architecture,
    createdBy: CREATED_BY,
    source: plan.source,
    segments: nameSegments(plan, written),
    metadata: extent(0),
    tensors: plan.tensors.map(({ name, type, layout, shape, extent: index }) => ({
      name,
      type,
      layout,
      shape: [...shape],
      extent: extent(index),
    })),
    experts: plan.layers.map(({ layer, pieces, roles, extents }) => ({
      layer,
      pieces: pieces.map(([offset, length]) => [offset, length] as [number, number]),
      roles: Object.fromEntries(
        EXPERT_ROLES.map((role) => [role, [...roles[role]]]),
      ) as Manifest['experts'][number]['roles'],
      extents: extents.map(extent),
    })),
  };
}

/**
 * Names segments by their content: kind, and 12 hex digits of the SHA-256 over one line "offset length sha256" per
 * extent. That covers every byte but the zeros between extents, and a resumed packing need not read its segments again.
 */
function nameSegments(plan: PackagePlan, written: readonly WrittenExtent[]): Manifest['segments'] {
  const hashes = plan.segments.map(() => createHash('sha256'));
  for (const [i, { segment, offset, length }] of plan.extents.entries())
    hashes[segment]!.update(`${offset} ${length} ${written[i]!.sha256}\n`);
  const taken = new Map<string, number>();
  return plan.segments.map(({ kind, bytes }, i) => {
    const name = `${kind}-${hashes[i]!.digest('hex').slice(0, 12)}`;
    const times = taken.get(name) ?? 0;
    taken.set(name, times + 1);
    return { file: times === 0 ? `${name}.seg` : `${name}-${times}.seg`, bytes };
  });
}
