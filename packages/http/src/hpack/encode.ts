import { NEVER_INDEXED, STATIC_ENTRIES, STATIC_TABLE } from './tables.ts';

interface StaticName {
  /** First entry with the name. */
  readonly index: number;
  /** Entries that also hold a value. */
  readonly values: Map<string, number>;
}

const STATIC_NAMES = buildStaticNames();
const TABLE_SIZE_ZERO = 0x20;

/**
 * HPACK encoder of one connection: static table and plain literals, no dynamic table. The peer's decoder then needs no memory and no
 * state is shared, whatever table size the peer announces; the heads of a mesh are short.
 */
export class HpackEncoder {
  #out: Buffer = Buffer.allocUnsafe(1024);
  #length = 0;
  #announced = false;

  /** Encodes [name, value, …] lists one after the other. The result is only valid until the next call. */
  encode(pseudo: readonly string[], headers: readonly string[]): Buffer {
    this.#length = 0;
    // Declares the empty table once, which stays right when the peer lowers SETTINGS_HEADER_TABLE_SIZE (RFC 9113 §4.3.1).
    if (!this.#announced) this.#byte(TABLE_SIZE_ZERO);
    this.#announced = true;
    this.#list(pseudo);
    this.#list(headers);
    return this.#out.subarray(0, this.#length);
  }

  #list(flat: readonly string[]): void {
    for (let i = 0; i < flat.length; i += 2) this.#field(flat[i] ?? '', flat[i + 1] ?? '');
  }

  #field(name: string, value: string): void {
    this.#reserve(name.length + value.length + 16);
    const known = STATIC_NAMES.get(name);
    const exact = known?.values.get(value);
    if (exact !== undefined) {
      this.#integer(0x80, 7, exact);
      return;
    }
    this.#integer(NEVER_INDEXED.has(name) ? 0x10 : 0x00, 4, known?.index ?? 0);
    if (known === undefined) this.#text(name);
    this.#text(value);
  }

  #integer(pattern: number, prefixBits: number, value: number): void {
    const max = (1 << prefixBits) - 1;
    if (value < max) {
      this.#byte(pattern | value);
      return;
    }
    this.#byte(pattern | max);
    let rest = value - max;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#byte((rest % 128) | 0x80);
    this.#byte(rest);
  }

  /** Characters that HTTP forbids in a field (RFC 9110 §5.5) go out as spaces, so that no text can end its header line. */
  #text(text: string): void {
    this.#integer(0, 7, text.length);
    const out = this.#out;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      out[at++] = (code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff ? 0x20 : code;
    }
    this.#length = at;
  }

  #byte(byte: number): void {
    this.#out[this.#length++] = byte;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#out.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#out.length * 2, this.#length + bytes));
    this.#out.copy(larger, 0, 0, this.#length);
    this.#out = larger;
  }
}

function buildStaticNames(): Map<string, StaticName> {
  const names = new Map<string, StaticName>();
  for (let index = 1; index <= STATIC_ENTRIES; index++) {
    const name = STATIC_TABLE[index * 2 - 2] ?? '';
    const value = STATIC_TABLE[index * 2 - 1] ?? '';
    const entry = names.get(name) ?? { index, values: new Map<string, number>() };
    names.set(name, entry);
    if (value !== '') entry.values.set(value, index);
  }
  return names;
}
