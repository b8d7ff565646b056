import { decodeHuffman } from './huffman.ts';
import { ENTRY_OVERHEAD, STATIC_ENTRIES, STATIC_TABLE } from './tables.ts';

/** A header block that cannot be decoded: the connection's compression state is lost (RFC 9113 COMPRESSION_ERROR). */
export class HpackError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'HpackError';
  }
}

/** A decoded block. */
export interface HeaderBlock {
  /** [name, value, …] in order, pseudo headers included; cut off when too large. */
  readonly flat: string[];
  /** The list passed the limit (RFC 9113 §6.5.2: names + values + 32 each). */
  readonly tooLarge: boolean;
}

/** No integer of a sane block is larger; stops endless continuation bytes as well. */
const MAX_INTEGER = 0x0f_ff_ff_ff;

/**
 * HPACK decoder of one connection (RFC 7541). Work and memory are bounded: the dynamic table by `tableSize`, the list by `maxListSize`.
 *
 *   index:  1 … 61 static | 62 newest dynamic … oldest
 */
export class HpackDecoder {
  readonly #allowedTableSize: number;
  readonly #maxListSize: number;
  #tableLimit: number;
  #tableSize = 0;
  /** [name, value, …], newest last. */
  readonly #dynamic: string[] = [];
  #block: Buffer = Buffer.alloc(0);
  #at = 0;
  #name = '';
  #value = '';

  constructor(tableSize: number, maxListSize: number) {
    this.#allowedTableSize = tableSize;
    this.#tableLimit = tableSize;
    this.#maxListSize = maxListSize;
  }

  /** Bytes the dynamic table holds, as RFC 7541 §4.1 counts them. */
  get tableSize(): number {
    return this.#tableSize;
  }

  /** Decodes one whole block. @throws HpackError */
  decode(block: Uint8Array): HeaderBlock {
    this.#block = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    this.#at = 0;
    const flat: string[] = [];
    let listSize = 0;
    while (this.#at < this.#block.length) {
      if (!this.#field(flat.length === 0 && listSize === 0)) continue;
      listSize += this.#name.length + this.#value.length + ENTRY_OVERHEAD;
      if (listSize <= this.#maxListSize) flat.push(this.#name, this.#value);
    }
    this.#block = Buffer.alloc(0);
    return { flat, tooLarge: listSize > this.#maxListSize };
  }

  /** Reads one representation; true when it was a header (now in #name and #value), false for a table size update. */
  #field(first: boolean): boolean {
    const byte = this.#block[this.#at] ?? 0;
    if (byte & 0x80) {
      this.#indexed(this.#integer(7));
      return true;
    }
    if (byte & 0x40) {
      this.#literal(this.#integer(6));
      this.#insert(this.#name, this.#value);
      return true;
    }
    if (byte & 0x20) {
      if (!first) throw new HpackError('table size update after the first header of a block');
      this.#resize(this.#integer(5));
      return false;
    }
    this.#literal(this.#integer(4));
    return true;
  }

  #indexed(index: number): void {
    if (index === 0) throw new HpackError('index 0');
    this.#name = this.#lookup(index, 0);
    this.#value = this.#lookup(index, 1);
  }

  #literal(nameIndex: number): void {
    const name = nameIndex === 0 ? this.#string() : this.#lookup(nameIndex, 0);
    this.#value = this.#string();
    this.#name = name;
  }

  #lookup(index: number, part: 0 | 1): string {
    const text =
      index <= STATIC_ENTRIES
        ? STATIC_TABLE[index * 2 - 2 + part]
        : this.#dynamic[this.#dynamic.length - 2 * (index - STATIC_ENTRIES) + part];
    if (text === undefined) throw new HpackError(`index ${index} is beyond the tables`);
    return text;
  }

  /** RFC 7541 §5.1. */
  #integer(prefixBits: number): number {
    const max = (1 << prefixBits) - 1;
    let value = (this.#block[this.#at++] ?? 0) & max;
    if (value < max) return value;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#block[this.#at++];
      if (byte === undefined) throw new HpackError('integer is cut off');
      value += (byte & 0x7f) * scale;
      if (value > MAX_INTEGER || scale > MAX_INTEGER) throw new HpackError('integer is too large');
      if (byte < 0x80) return value;
    }
  }

  #string(): string {
    const huffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    if (this.#at >= this.#block.length) throw new HpackError('string is cut off');
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#block.length) throw new HpackError('string is longer than its block');
    this.#at = end;
    if (!huffman) return this.#block.toString('latin1', start, end);
    const text = decodeHuffman(this.#block, start, end);
    if (text === undefined) throw new HpackError('invalid Huffman code');
    return text;
  }

  #resize(limit: number): void {
    if (limit > this.#allowedTableSize)
      throw new HpackError(`table size ${limit} is above the ${this.#allowedTableSize} that were allowed`);
    this.#tableLimit = limit;
    this.#evict(0);
  }

  #insert(name: string, value: string): void {
    const size = name.length + value.length + ENTRY_OVERHEAD;
    this.#evict(size);
    if (size > this.#tableLimit) return;
    this.#dynamic.push(name, value);
    this.#tableSize += size;
  }

  /** Makes room, oldest entries first. */
  #evict(room: number): void {
    let dropped = 0;
    while (this.#tableSize + room > this.#tableLimit && dropped < this.#dynamic.length) {
      const name = this.#dynamic[dropped] ?? '';
      const value = this.#dynamic[dropped + 1] ?? '';
      this.#tableSize -= name.length + value.length + ENTRY_OVERHEAD;
      dropped += 2;
    }
    if (dropped > 0) this.#dynamic.splice(0, dropped);
  }
}
