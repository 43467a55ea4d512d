import { ModelFormatError } from '../error.js';
import type { ExpertLayer, ExpertRole, Piece } from '../model/model-file.js';
import { pageEnd, pageStart } from '../model/page.js';

const ROLES: readonly ExpertRole[] = ['gate', 'up', 'down'];

/** One piece as a direct read: whole pages on flash, and where the wanted bytes lie in them. */
export interface PieceRead {
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  readonly dataOffset: number;
  readonly dataLength: number;
  /** Byte offset of the read in the slot. */
  readonly at: number;
}

/**
 * How an expert of one layer lies in a slot. Each piece gets a page-aligned region with room for the pages around
 * it, so that a direct read lands in place, even from files that align tensors to 32 bytes only.
 */
export class SlotLayout {
  /** Bytes a slot needs. */
  readonly bytes: number;
  readonly #regions: readonly number[];

  constructor(readonly layer: ExpertLayer) {
    const count = layer.pieces[0]!.length;
    const regions: number[] = [];
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      regions.push(bytes);
      let region = 0;
      for (const pieces of layer.pieces) region = Math.max(region, pagesOf(pieces[i]!).length);
      bytes += region;
    }
    for (const role of ROLES)
      if (layer.roles[role].piece >= count)
        throw new ModelFormatError(
          'model/experts',
          `the experts of layer ${layer.layer} have ${count} pieces, their ${role} matrix names piece ${layer.roles[role].piece}`,
          'The file is damaged; pack the model again.',
        );
    this.#regions = regions;
    this.bytes = bytes;
  }

  /** The reads that bring an expert in, in consumption order. */
  reads(expert: number): PieceRead[] {
    return this.layer.pieces[expert]!.map((piece, i) => ({
      ...pagesOf(piece),
      file: piece.file,
      at: this.#regions[i]!,
    }));
  }

  /** Byte offset of a role's matrix in the slot. */
  place(expert: number, role: ExpertRole): number {
    const { piece, offset } = this.layer.roles[role];
    const p = this.layer.pieces[expert]![piece]!;
    return this.#regions[piece]! + (p.offset - pageStart(p.offset)) + offset;
  }
}

function pagesOf(piece: Piece) {
  const offset = pageStart(piece.offset);
  const dataOffset = piece.offset - offset;
  return { offset, length: pageEnd(dataOffset + piece.length), dataOffset, dataLength: piece.length };
}

/** Slot bytes of a layer in the worst case of alignment; what a plan may count on. */
export const slotBytes = (layer: ExpertLayer): number => new SlotLayout(layer).bytes;
