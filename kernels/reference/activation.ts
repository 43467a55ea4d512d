import { Activation } from '../kernels.js';

const { exp, fround } = Math;

/** The value of an activation function. */
export function activate(activation: number, x: number): number {
  if (activation === Activation.Relu) return x > 0 ? x : 0;
  if (activation === Activation.Silu) return x / (1 + exp(-x));
  throw new RangeError(`activation ${activation} is not known`);
}

/** `pm_gated`: activation of the first half of each row times its second half. */
export function gated(
  gateUp: Float32Array,
  stride: number,
  out: Float32Array,
  outStride: number,
  tokens: number,
  hidden: number,
  activation: number,
): void {
  for (let t = 0; t < tokens; t++)
    for (let i = 0; i < hidden; i++)
      out[t * outStride + i] =
        fround(activate(activation, gateUp[t * stride + i]!)) * gateUp[t * stride + hidden + i]!;
}
