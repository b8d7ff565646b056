import { HUFFMAN_LENGTHS } from './tables.ts';

const EOS = 256;
const STATE_MASK = 0xff;
const SYMBOL_SHIFT = 8;
const EMIT = 1 << 16;
const FAIL = 1 << 17;
/** The bits so far are a valid end: fewer than eight ones (RFC 7541 §5.2). */
const ACCEPT = 1 << 18;

/**
 * What four more bits do, by state (a node inside the code tree) and those bits: the next state, perhaps one symbol (no code is shorter
 * than five bits, so never two), and whether the text may end there.
 *
 *   TRANSITIONS[state << 4 | nibble] = flags | symbol << 8 | next state
 */
const TRANSITIONS = buildTransitions();

/** Decodes to latin1 text; undefined when the padding is wrong, EOS occurs, or a code is cut off. */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | undefined {
  const capacity = Math.ceil(((end - start) * 8) / 5);
  const out = capacity <= scratch.length ? scratch : Buffer.allocUnsafe(capacity);
  let length = 0;
  let state = 0;
  let entry = ACCEPT;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    entry = TRANSITIONS[(state << 4) | (byte >> 4)] ?? FAIL;
    if (entry & EMIT) out[length++] = entry >> SYMBOL_SHIFT;
    if (entry & FAIL) return undefined;
    entry = TRANSITIONS[((entry & STATE_MASK) << 4) | (byte & 15)] ?? FAIL;
    if (entry & EMIT) out[length++] = entry >> SYMBOL_SHIFT;
    if (entry & FAIL) return undefined;
    state = entry & STATE_MASK;
  }
  return entry & ACCEPT ? out.toString('latin1', 0, length) : undefined;
}

const scratch = Buffer.alloc(4096);

/** The code tree: children[node] holds two numbers, a node, or -1 - symbol for a leaf. */
function buildTree(): [number, number][] {
  const order = HUFFMAN_LENGTHS.map((length, symbol) => ({ length, symbol })).sort(
    (one, other) => one.length - other.length || one.symbol - other.symbol,
  );
  const tree: [number, number][] = [[0, 0]];
  let code = 0;
  let width = order[0]?.length ?? 0;
  for (const { length, symbol } of order) {
    code *= 2 ** (length - width);
    width = length;
    insert(tree, code++, length, symbol);
  }
  return tree;
}

function insert(tree: [number, number][], code: number, length: number, symbol: number): void {
  let node = 0;
  for (let bit = length - 1; bit >= 0; bit--) {
    const children = tree[node];
    if (children === undefined) return;
    const side = (code >>> bit) & 1 ? 1 : 0;
    if (bit === 0) children[side] = -1 - symbol;
    else if (children[side] === 0) children[side] = tree.push([0, 0]) - 1;
    node = children[side];
  }
}

function buildTransitions(): Int32Array {
  const tree = buildTree();
  const padding = paddingNodes(tree);
  const table = new Int32Array(tree.length * 16);
  for (let node = 0; node < tree.length; node++)
    for (let nibble = 0; nibble < 16; nibble++) table[(node << 4) | nibble] = transition(tree, node, nibble, padding);
  return table;
}

/** Nodes reached from the root by up to seven ones. */
function paddingNodes(tree: readonly [number, number][]): Set<number> {
  const nodes = new Set<number>([0]);
  for (let node = 0, depth = 0; depth < 7; depth++) {
    node = tree[node]?.[1] ?? 0;
    nodes.add(node);
  }
  return nodes;
}

function transition(
  tree: readonly [number, number][],
  start: number,
  nibble: number,
  padding: ReadonlySet<number>,
): number {
  let node = start;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = tree[node]?.[(nibble >> bit) & 1 ? 1 : 0] ?? 0;
    if (node >= 0) continue;
    const symbol = -1 - node;
    if (symbol === EOS) return FAIL;
    emitted = EMIT | (symbol << SYMBOL_SHIFT);
    node = 0;
  }
  return node | emitted | (padding.has(node) ? ACCEPT : 0);
}
