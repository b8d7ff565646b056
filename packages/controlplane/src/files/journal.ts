import { readFileSync } from 'node:fs';
import type { KubeObject } from '../collections/object.ts';
import { readStoredLayer, readStoredObject } from './schema/object.ts';
import { isRecord } from './schema/schema.ts';
import type { Layer } from './state-folder.ts';
import { removeFile, writeWhole } from './whole-file.ts';

/** The layer of one object, as it is to be on disk. */
export interface LayerWrite {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly layer: Layer;
}

/**
 * Makes many files change as one. What is to be written is first said in the journal, a single file; from then on it
 * counts, and a process that was killed in between does at its next start what is left.
 *
 *     write journal ── crash before: nothing happened ── write each layer ── remove journal
 *                                                     └─ crash: the next start writes them all again
 */
export class Journal {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Carries out what is left of an earlier change. @param unreadable is told when the journal is damaged; it then counts for nothing. */
  complete(write: (layer: LayerWrite) => void, unreadable: (file: string, reason: string) => void): void {
    const text = readIfThere(this.#file);
    if (text === undefined) return;
    const writes = parseJournal(text);
    if (writes === undefined) unreadable(this.#file, 'expected a journal of changes as JSON: it was left out');
    for (const one of writes ?? []) write(one);
    removeFile(this.#file);
  }

  /** Writes all of them or none: where one fails, what was `before` is put back. @throws Error of the file system */
  run(writes: readonly LayerWrite[], before: readonly LayerWrite[], write: (layer: LayerWrite) => void): void {
    if (writes.length === 0) return;
    writeWhole(this.#file, `${JSON.stringify({ writes })}\n`, 'durable');
    try {
      for (const one of writes) write(one);
    } catch (error) {
      // The disk is full or broken: the journal goes first, as its room may be all there is.
      removeFile(this.#file);
      for (const one of before) write(one);
      throw error;
    }
    removeFile(this.#file);
  }
}

function parseJournal(text: string): LayerWrite[] | undefined {
  const value = parseJson(text);
  if (!isRecord(value) || !Array.isArray(value['writes'])) return undefined;
  const writes = value['writes'].map(readWrite);
  return writes.includes(undefined) ? undefined : writes.filter((one) => one !== undefined);
}

function readWrite(value: unknown): LayerWrite | undefined {
  if (!isRecord(value) || !isRecord(value['layer'])) return undefined;
  const { kind, namespace, name, layer: stored } = value;
  if (typeof kind !== 'string' || typeof name !== 'string') return undefined;
  const rest = readStoredLayer(stored);
  const object: KubeObject | undefined = readStoredObject(stored['object']);
  if (rest === undefined || (object === undefined && stored['object'] !== undefined)) return undefined;
  const layer = { deleted: rest.deleted, over: rest.over, patch: rest.patch, object };
  return { kind, name, namespace: typeof namespace === 'string' ? namespace : undefined, layer };
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // ENOENT: every change was carried out
    return undefined;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // SyntaxError: the caller reports the file
    return undefined;
  }
}
