import type { TokenStream } from './tokenizer.js';

/** Turns the bytes of tokens into text, holding back a character until its last byte has come. */
export class Utf8Stream implements TokenStream {
  // A byte order mark in the middle of an answer is text like any other.
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(private readonly bytes: (id: number) => Uint8Array) {}

  push(id: number): string {
    return this.decoder.decode(this.bytes(id), { stream: true });
  }

  end(): string {
    return this.decoder.decode();
  }
}
