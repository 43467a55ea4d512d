import { basename } from 'node:path';
import { OptionError } from '../error.js';
import { EXPERT_ROLES } from '../model/expert-tensors.js';
import { encodeMetadata } from '../model/gguf-header.js';
import type { GgufModel } from '../model/gguf-model.js';
import type { ExpertLayer, ExpertRole } from '../model/model-file.js';
import { EXTENT_ALIGNMENT, MATRIX_ALIGNMENT } from '../model/package-manifest.js';

/** Matrices from this size on are read one by one, so that computing begins before the whole expert has landed. */
export const PIECE_THRESHOLD = 128 * 1024;

/** No segment grows beyond this, so that packages fit on file systems with 4 GiB files (FAT). */
const SEGMENT_LIMIT = 2 ** 31;

/** Bytes that go to `at` inside an extent: a range of a source file, or bytes made here (file null). */
export interface Copy {
  readonly at: number;
  readonly length: number;
  readonly file: number | null;
  readonly offset: number;
}

/** An extent to write. */
export interface PlannedExtent {
  readonly what: string;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  /** In ascending order, without overlap; what they leave out is zero. */
  readonly copies: readonly Copy[];
  /** [offset, length] inside the extent; each gets a CRC. */
  readonly pieces: readonly (readonly [number, number])[];
}

export interface PlannedLayer {
  readonly layer: number;
  readonly pieces: readonly (readonly [number, number])[];
  readonly roles: Readonly<Record<ExpertRole, readonly [number, number, number, number, number, number]>>;
  /** Index in {@link PackagePlan.extents} of each expert. */
  readonly extents: readonly number[];
}

/** All bytes of a package and their places, before any is read. */
export interface PackagePlan {
  readonly name: string;
  readonly architecture: string;
  readonly source: { readonly file: string; readonly bytes: number; readonly headerSha256: string };
  /** Absolute paths of the source. */
  readonly files: readonly string[];
  readonly segments: readonly { readonly kind: 'dense' | 'experts'; readonly bytes: number }[];
  /** In writing order: segment by segment, ascending. */
  readonly extents: readonly PlannedExtent[];
  /** The bytes of extent 0. */
  readonly metadata: Buffer;
  readonly tensors: readonly {
    readonly name: string;
    readonly type: number;
    readonly layout: number;
    readonly shape: readonly number[];
    readonly extent: number;
  }[];
  readonly layers: readonly PlannedLayer[];
}

/** Order of the experts inside each layer's part of the segment, by layer number; 0, 1, 2 … where missing. */
export type ExpertOrder = ReadonlyMap<number, readonly number[]>;

/** Lays out a package. The same model and order always give the same plan. */
export function planPackage(model: GgufModel, order: ExpertOrder): PackagePlan {
  for (const layer of order.keys())
    if (!model.experts.has(layer))
      throw new OptionError(
        'option/expert-order',
        `expertOrder names layer ${layer}, which has no routed experts`,
        `Layers with experts: ${[...model.experts.keys()].join(', ') || 'none'}.`,
      );
  const layout = new SegmentLayout();
  // The parts of a split set become one package, so their keys would be untrue.
  const { count, bytes } = model.metadata.encoded((key) => !key.startsWith('split.'));
  const metadata = encodeMetadata(count, bytes);
  layout.begin('dense');
  layout.add('metadata', metadata.length, [{ at: 0, length: metadata.length, file: null, offset: 0 }]);
  const tensors = [...model.tensors.values()].map(
    ({ name, type, layout: order, shape, file, offset, length }) => ({
      name,
      type,
      layout: order,
      shape,
      extent: layout.add(`tensor ${name}`, length, [{ at: 0, length, file, offset }]),
    }),
  );
  if (model.experts.size > 0) layout.begin('experts');
  const layers = [...model.experts.values()].map((layer) => planLayer(layer, order.get(layer.layer), layout));
  return {
    name: model.metadata.stringOr('general.name', basename(model.path, '.gguf')),
    architecture: model.architecture,
    source: {
      file: basename(model.path),
      bytes: model.parts.reduce((sum, part) => sum + part.size, 0),
      headerSha256: model.digest,
    },
    files: model.files,
    segments: layout.segments,
    extents: layout.extents,
    metadata,
    tensors,
    layers,
  };
}

function planLayer(
  layer: ExpertLayer,
  given: readonly number[] | undefined,
  layout: SegmentLayout,
): PlannedLayer {
  const count = layer.pieces.length;
  const order = given ?? Array.from({ length: count }, (_, i) => i);
  const sorted = [...order].sort((a, b) => a - b);
  if (sorted.length !== count || sorted.some((id, i) => id !== i))
    throw new OptionError(
      'option/expert-order',
      `expertOrder of layer ${layer.layer} is no permutation of its experts`,
      `Name each of 0 to ${count - 1} once.`,
    );
  const { places, pieces, length } = placeMatrices(layer);
  const extents = new Array<number>(count);
  for (const expert of order)
    extents[expert] = layout.add(
      `expert ${expert} of layer ${layer.layer}`,
      length,
      EXPERT_ROLES.map((role) => {
        const { piece, offset, length } = layer.roles[role];
        const { file, offset: start } = layer.pieces[expert]![piece]!;
        return { at: places[role].at, length, file, offset: start + offset };
      }),
      pieces,
    );
  const roles = Object.fromEntries(
    EXPERT_ROLES.map((role) => {
      const { type, layout, rows, cols } = layer.roles[role];
      const { piece, at } = places[role];
      return [role, [piece, at - pieces[piece]![0], type, layout, rows, cols]];
    }),
  ) as unknown as PlannedLayer['roles'];
  return { layer: layer.layer, pieces, roles, extents };
}

type Places = Record<ExpertRole, { piece: number; at: number }>;

/** Where gate, up and down lie in an extent: three pieces when a matrix is large, else one. */
function placeMatrices({ roles }: ExpertLayer): {
  places: Places;
  pieces: [number, number][];
  length: number;
} {
  const apart = EXPERT_ROLES.some((role) => roles[role].length >= PIECE_THRESHOLD);
  const places = {} as Places;
  const pieces: [number, number][] = [];
  let end = 0;
  for (const role of EXPERT_ROLES) {
    const at = alignUp(end, apart ? EXTENT_ALIGNMENT : MATRIX_ALIGNMENT);
    end = at + roles[role].length;
    if (apart) pieces.push([at, roles[role].length]);
    places[role] = { piece: apart ? pieces.length - 1 : 0, at };
  }
  if (!apart) pieces.push([0, end]);
  return { places, pieces, length: end };
}

class SegmentLayout {
  readonly segments: { kind: 'dense' | 'experts'; bytes: number }[] = [];
  readonly extents: PlannedExtent[] = [];

  begin(kind: 'dense' | 'experts'): void {
    this.segments.push({ kind, bytes: 0 });
  }

  add(
    what: string,
    length: number,
    copies: readonly Copy[],
    pieces: readonly (readonly [number, number])[] = [[0, length]],
  ): number {
    let segment = this.segments.at(-1)!;
    if (segment.bytes > 0 && segment.bytes + length > SEGMENT_LIMIT) {
      this.begin(segment.kind);
      segment = this.segments.at(-1)!;
    }
    const offset = segment.bytes;
    segment.bytes = offset + alignUp(length, EXTENT_ALIGNMENT);
    this.extents.push({ what, segment: this.segments.length - 1, offset, length, copies, pieces });
    return this.extents.length - 1;
  }
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
