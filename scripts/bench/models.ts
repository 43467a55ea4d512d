import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { WeightType } from '../../kernels/weight-type.js';
import { pack } from '../../sdk/pack/pack.js';
import { generateModel, type RandomModelOptions } from '../../test/models/generate-model.js';

/** A model to measure with. */
export interface BenchModel {
  /** As in the figures' names. */
  readonly name: string;
  /** Null: the demo model, which is part of the repository. */
  readonly options: RandomModelOptions | null;
  /** Tokens of the limited runs' budget: bytes for the whole process, page cache included. */
  readonly budgetBytes: number;
  /** Goal for resident decode against the peer. */
  readonly decodeGoal: number | null;
  readonly prefillGoal: number | null;
}

const SMALLTHINKER_4B: RandomModelOptions = {
  family: 'smallthinker',
  layers: 32,
  width: 1536,
  heads: 12,
  kvHeads: 2,
  headSize: 128,
  hidden: 768,
  experts: 32,
  used: 4,
  vocabulary: 151_936,
  weightType: WeightType.Q4_0,
  ropeBase: 1.5e6,
};

/** Silu: no row is exactly zero, so none can be skipped. */
const QWEN3_MOE: RandomModelOptions = {
  family: 'qwen3moe',
  layers: 8,
  width: 2048,
  heads: 32,
  kvHeads: 4,
  headSize: 128,
  hidden: 768,
  experts: 128,
  used: 8,
  vocabulary: 151_936,
  weightType: WeightType.Q4_K,
  ropeBase: 1e6,
};

const SMALL: RandomModelOptions = {
  ...SMALLTHINKER_4B,
  layers: 9,
  width: 1024,
  heads: 8,
  hidden: 512,
  vocabulary: 32_768,
};

export const DEMO: BenchModel = {
  name: 'demo',
  options: null,
  budgetBytes: 128 * 2 ** 20,
  decodeGoal: null,
  prefillGoal: null,
};

/** The 4B shape whose experts are as unevenly popular as `skew` says (0: flat). */
export const smallThinker = (skew: number): BenchModel => ({
  name: `4B Q4_0${skew === 0 ? '' : ` skew ${skew}`}`,
  options: { ...SMALLTHINKER_4B, skew },
  budgetBytes: 2 ** 30,
  decodeGoal: 1.3,
  prefillGoal: 1,
});

export const QWEN: BenchModel = {
  name: 'Qwen3-MoE-like Q4_K',
  options: QWEN3_MOE,
  budgetBytes: 2 ** 30,
  decodeGoal: 1,
  prefillGoal: 1,
};

/** 300 MB, to try the harness with; its figures have no goals. */
export const small = (skew: number): BenchModel => ({
  name: `300 MB Q4_0${skew === 0 ? '' : ` skew ${skew}`}`,
  options: { ...SMALL, skew },
  budgetBytes: 224 * 2 ** 20,
  decodeGoal: null,
  prefillGoal: null,
});

const fileName = (model: BenchModel) => model.name.toLowerCase().replaceAll(' ', '-');

/** Models on disk: made when first asked for, kept for the next run. */
export class ModelFolder {
  constructor(
    private readonly folder: string,
    private readonly demo: string,
    private readonly say: (line: string) => void,
  ) {}

  /** The GGUF file. A file of that name is taken as it is. */
  gguf(model: BenchModel): string {
    if (model.options === null) return this.demo;
    const path = join(this.folder, `${fileName(model)}.gguf`);
    if (existsSync(path)) return path;
    mkdirSync(this.folder, { recursive: true });
    this.say(`Making ${path}…`);
    generateModel(`${path}.partial`, model.options);
    flush(`${path}.partial`);
    renameSync(`${path}.partial`, path);
    return path;
  }

  /** The same model as a package. */
  async package(model: BenchModel): Promise<string> {
    const gguf = this.gguf(model);
    const path = join(this.folder, `${fileName(model)}.pocketmoe`);
    if (existsSync(join(path, 'manifest.json'))) return path;
    mkdirSync(this.folder, { recursive: true });
    this.say(`Packing ${basename(path)}…`);
    await pack(gguf, path);
    return path;
  }

  remove(model: BenchModel): void {
    const path = join(this.folder, fileName(model));
    rmSync(`${path}.gguf`, { force: true });
    rmSync(`${path}.pocketmoe`, { recursive: true, force: true });
  }
}

/** Dirty pages cannot be dropped from the page cache, so everything is written out first. */
function flush(path: string): void {
  const file = openSync(path, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
