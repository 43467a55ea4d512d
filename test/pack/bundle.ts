import { buildSync } from 'esbuild';

/** Bundles a TypeScript program of the tests so that plain node runs it; returns the path. */
export function bundle(entry: string, outfile: string): string {
  buildSync({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
  });
  return outfile;
}
