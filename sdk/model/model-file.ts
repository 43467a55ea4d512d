/** A value of GGUF metadata. 64-bit integers are numbers (checked to be safe integers). */
export type MetadataValue =
  string | number | boolean | readonly string[] | Float64Array | readonly MetadataValue[];

/**
 * Typed access to GGUF metadata. Getters throw ModelFormatError ("model/metadata") naming key, expected and found type.
 */
export interface Metadata {
  keys(): Iterable<string>;
  has(key: string): boolean;
  string(key: string): string;
  number(key: string): number;
  boolean(key: string): boolean;
  strings(key: string): readonly string[];
  /**
   * Shows each string of an array as UTF-8: bytes `from` to `to` of `bytes`, good during the call. Makes no strings,
   * of which a large vocabulary has a million. Returns how many there are.
   */
  eachString(
    key: string,
    visit: (bytes: Uint8Array, from: number, to: number, index: number) => void,
  ): number;
  numbers(key: string): Float64Array;
  /** As above, or `fallback` when the key is missing. */
  stringOr<T>(key: string, fallback: T): string | T;
  numberOr<T>(key: string, fallback: T): number | T;
  booleanOr<T>(key: string, fallback: T): boolean | T;
}

/** A tensor that is not streamed. */
export interface TensorInfo {
  readonly name: string;
  /** ggml type number. */
  readonly type: number;
  readonly layout: number;
  /** ggml order: shape[0] is the contiguous dimension (inputs). 1 to 4 entries. */
  readonly shape: readonly number[];
  /** Index in {@link ModelFile.files}; byte offset and length there. */
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  /** null where the source has no checksum (GGUF). */
  readonly crc32c: number | null;
}

export type ExpertRole = 'gate' | 'up' | 'down';

/** A run of bytes of one expert that is read, checked and becomes usable as one. */
export interface Piece {
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  readonly crc32c: number | null;
}

/** Where a role's matrix lies: the index of its piece, and its byte offset inside the piece. */
export interface RolePlace {
  readonly piece: number;
  readonly offset: number;
  readonly type: number;
  readonly layout: number;
  /** Outputs and inputs. */
  readonly rows: number;
  readonly cols: number;
  /** Bytes of the matrix. */
  readonly length: number;
}

/** The routed experts of one layer: the same places for all, the pieces expert by expert. */
export interface ExpertLayer {
  readonly layer: number;
  readonly roles: Readonly<Record<ExpertRole, RolePlace>>;
  /** pieces[expert]: one piece (gate, up, down together) or three (gate; up; down), in consumption order. */
  readonly pieces: readonly (readonly Piece[])[];
}

/** A model on flash, as the runtime sees it: a GGUF file (or split set) or a package. */
export interface ModelFile {
  readonly path: string;
  readonly kind: 'gguf' | 'package';
  /** Absolute paths. */
  readonly files: readonly string[];
  readonly metadata: Metadata;
  /** general.architecture */
  readonly architecture: string;
  /** Everything but routed experts, by GGUF tensor name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** By layer number; layers without routed experts are missing. */
  readonly experts: ReadonlyMap<number, ExpertLayer>;
  /** Hex SHA-256 that identifies the model: of the manifest for packages, of the header bytes for GGUF. */
  readonly digest: string;
}
