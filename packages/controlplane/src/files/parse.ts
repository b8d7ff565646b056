import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, type Node } from 'yaml';
import type { Path } from './schema/schema.ts';

/** Something wrong in a file, as an editor can jump to it. */
export interface SourceError {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path of the field; '' when the document as a whole is meant. */
  readonly field: string;
  readonly message: string;
}

/** One document of a YAML stream, with the place of each of its values. */
export interface ParsedDocument {
  readonly value: unknown;
  /** Line and column, from 1, of the key or the value at a path; of its nearest parent when there is none. */
  locate(path: Path, at: 'key' | 'value'): { readonly line: number; readonly column: number };
}

/** Larger files are refused: objects are small, and a mistake such as a log file should not stall the mesh. */
export const MAX_FILE_BYTES: number = 4 * 1024 * 1024;
const MAX_DOCUMENTS = 5_000;
const MAX_ALIASES = 100;

/** Parses a stream of YAML or JSON documents; empty ones are skipped. Duplicate keys, too many aliases and oversized files are errors. */
export function parseYaml(text: string, file: string): { documents: ParsedDocument[]; errors: SourceError[] } {
  const whole = (message: string): { documents: ParsedDocument[]; errors: SourceError[] } => ({
    documents: [],
    errors: [{ file, line: 1, column: 1, field: '', message }],
  });
  if (text.length > MAX_FILE_BYTES) return whole(`expected at most ${MAX_FILE_BYTES} bytes, found ${text.length}`);
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, version: '1.2', prettyErrors: false });
  if (!Array.isArray(parsed)) return { documents: [], errors: [] };
  if (parsed.length > MAX_DOCUMENTS)
    return whole(`expected at most ${MAX_DOCUMENTS} documents, found ${parsed.length}`);
  const documents: ParsedDocument[] = [];
  const errors: SourceError[] = [];
  for (const document of parsed) {
    for (const error of document.errors) {
      const { line, col } = lines.linePos(error.pos[0]);
      errors.push({ file, line, column: col, field: '', message: firstLine(error.message) });
    }
    if (document.errors.length > 0 || document.contents === null) continue;
    if (isScalar(document.contents) && document.contents.value === null) continue;
    try {
      documents.push(locatable(document, lines));
    } catch (error) {
      // ReferenceError of the library: too many aliases, or one without an anchor
      const { line, col } = lines.linePos(document.range[0]);
      errors.push({
        file,
        line,
        column: col,
        field: '',
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return { documents, errors };
}

/** The value of one small YAML text, such as a key of a ConfigMap; undefined with the reason when it does not parse. */
export function parseYamlValue(text: string): { readonly value: unknown; readonly error: string | undefined } {
  const { documents, errors } = parseYaml(text, '');
  const [error] = errors;
  if (error !== undefined) return { value: undefined, error: `line ${error.line}: ${error.message}` };
  return { value: documents[0]?.value, error: undefined };
}

const firstLine = (message: string): string => message.split('\n', 1)[0] ?? message;

function locatable(document: Document.Parsed, lines: LineCounter): ParsedDocument {
  return {
    value: document.toJS({ maxAliasCount: MAX_ALIASES }),
    locate: (path, at) => {
      const { line, col } = lines.linePos(offsetOf(document, path, at));
      return { line, column: col };
    },
  };
}

function offsetOf(document: Document.Parsed, path: Path, at: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? document.range[0];
  for (const [i, step] of path.entries()) {
    const next = child(isAlias(node) ? node.resolve(document) : node, step);
    if (next === undefined) break;
    const wantsKey = at === 'key' && i === path.length - 1;
    offset = (wantsKey ? startOf(next.key) : startOf(next.value)) ?? startOf(next.key) ?? offset;
    node = next.value;
  }
  return offset;
}

/** The entry of a map, or the item of a list, that one step of a path names. */
function child(node: unknown, step: string | number): { readonly key: unknown; readonly value: unknown } | undefined {
  if (isMap(node)) return node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step));
  return isSeq(node) && typeof step === 'number' ? { key: undefined, value: node.items[step] } : undefined;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

const isNode = (value: unknown): value is Node => isMap(value) || isSeq(value) || isScalar(value) || isAlias(value);
