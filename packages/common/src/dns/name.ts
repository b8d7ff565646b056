/** Length of a name on the wire with all its length bytes (RFC 1035 §3.1). */
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
const POINTER = 0xc0;

/** A name read from a message: its text and the offset behind it. */
export interface ReadName {
  readonly name: string;
  readonly next: number;
}

/**
 * Reads a name, following compression pointers; undefined when it is malformed. The text has no trailing dot (the root is ``);
 * bytes that are no plain label characters appear as `\ddd`. Pointers must lead backwards, so a loop cannot be built.
 */
export function readName(bytes: Uint8Array, start: number): ReadName | undefined {
  const labels: string[] = [];
  let at = start;
  let next: number | undefined;
  let barrier = start;
  let total = 1;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length === 0) return { name: labels.join('.'), next: next ?? at + 1 };
    if ((length & POINTER) === POINTER) {
      const low = bytes[at + 1];
      if (low === undefined) return undefined;
      next ??= at + 2;
      at = ((length & 0x3f) << 8) | low;
      if (at >= barrier) return undefined;
      barrier = at;
      continue;
    }
    total += length + 1;
    if (length > MAX_LABEL_BYTES || total > MAX_NAME_BYTES || at + 1 + length > bytes.length) return undefined;
    labels.push(escapeLabel(bytes.subarray(at + 1, at + 1 + length)));
    at += length + 1;
  }
}

/** The labels of a name as wire bytes without the closing root; undefined when a label or the name is too long or empty. */
export function nameLabels(name: string): Uint8Array[] | undefined {
  if (name === '' || name === '.') return [];
  const labels: Uint8Array[] = [];
  let total = 1;
  for (const text of (name.endsWith('.') && !name.endsWith('\\.') ? name.slice(0, -1) : name).split('.')) {
    const label = unescapeLabel(text);
    total += label.length + 1;
    if (label.length === 0 || label.length > MAX_LABEL_BYTES || total > MAX_NAME_BYTES) return undefined;
    labels.push(label);
  }
  return labels;
}

/** The name as uncompressed wire bytes; undefined when it cannot be a name. */
export function nameBytes(name: string): Uint8Array | undefined {
  const labels = nameLabels(name);
  if (labels === undefined) return undefined;
  return Buffer.concat([...labels.flatMap((label) => [Uint8Array.of(label.length), label]), Uint8Array.of(0)]);
}

function escapeLabel(label: Uint8Array): string {
  let text = '';
  for (const byte of label) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}

function unescapeLabel(text: string): Uint8Array {
  if (!text.includes('\\')) return Buffer.from(text, 'latin1');
  const plain = text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number(digits) & 0xff));
  return Buffer.from(plain, 'latin1');
}
