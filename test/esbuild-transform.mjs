import { transformSync } from 'esbuild';

/** Strips types so that jest can run TypeScript as ES modules; no type check happens here. */
export default {
  process(source, path) {
    const { code, map } = transformSync(source, {
      loader: 'ts',
      format: 'esm',
      target: 'node20',
      sourcefile: path,
      sourcemap: true,
    });
    return { code, map };
  },
};
