import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { objectKey } from '../collections/object.ts';
import type { SourceError } from './parse.ts';
import { type LocatedObject, validateText } from './validate.ts';

interface FileState {
  /** Size and modification time, or why it cannot be read: an unchanged file is not read again. */
  readonly signature: string;
  /** The last set of objects that was valid as a whole. */
  readonly objects: readonly LocatedObject[];
  /** What the newest text holds, valid or not. */
  readonly candidate: readonly LocatedObject[] | undefined;
  readonly errors: readonly SourceError[];
  readonly warnings: readonly SourceError[];
}

const YAML_FILE = /\.(ya?ml|json)$/i;
const MAX_FILES = 2000;

/** The user's folders and files, read-only. A file that does not parse or validate keeps its last good set of objects. */
export class UserFolder {
  readonly #paths: readonly string[];
  readonly #recursive: boolean;
  #files = new Map<string, FileState>();
  #errors: SourceError[] = [];
  #objects = new Map<string, LocatedObject>();

  constructor(paths: readonly string[], recursive: boolean) {
    this.#paths = paths;
    this.#recursive = recursive;
  }

  /** Objects by key, from the last scan. */
  get objects(): ReadonlyMap<string, LocatedObject> {
    return this.#objects;
  }

  get errors(): readonly SourceError[] {
    return this.#errors;
  }

  get warnings(): readonly SourceError[] {
    return [...this.#files.values()].flatMap((file) => file.warnings);
  }

  get files(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** Reads what changed. @returns false when nothing did. */
  scan(): boolean {
    const missing: SourceError[] = [];
    const next = new Map<string, FileState>();
    let changed = false;
    for (const path of this.#list(missing)) {
      const before = this.#files.get(path);
      const state = readFileState(path, before);
      changed ||= state !== before;
      next.set(path, state);
    }
    changed ||=
      next.size !== this.#files.size || missing.length !== this.#errors.filter((one) => one.line === 0).length;
    this.#files = next;
    if (changed) this.#join(missing);
    return changed;
  }

  #list(missing: SourceError[]): string[] {
    const found: string[] = [];
    for (const path of this.#paths) {
      try {
        if (statSync(path).isFile()) found.push(path);
        else found.push(...listFolder(path, this.#recursive));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        missing.push({ file: path, line: 0, column: 0, field: '', message: `cannot be read: ${reason}` });
      }
    }
    if (found.length > MAX_FILES)
      missing.push({
        file: found[MAX_FILES] ?? '',
        line: 0,
        column: 0,
        field: '',
        message: `more than ${MAX_FILES} files: the rest is not read`,
      });
    return found.slice(0, MAX_FILES);
  }

  /** An object belongs to the first file that has it; a second file with it is wrong as a whole. */
  #join(missing: readonly SourceError[]): void {
    const objects = new Map<string, LocatedObject>();
    const errors = [...missing];
    for (const [path, state] of this.#files) {
      errors.push(...state.errors);
      const twice = state.candidate === undefined ? [] : duplicates(state.candidate, objects);
      errors.push(...twice);
      const good = state.candidate !== undefined && twice.length === 0 ? state.candidate : state.objects;
      const kept = good.filter((one) => !objects.has(keyOf(one)));
      for (const one of kept) objects.set(keyOf(one), one);
      this.#files.set(path, { ...state, objects: kept });
    }
    this.#objects = objects;
    this.#errors = errors;
  }
}

const keyOf = ({ object }: LocatedObject): string =>
  objectKey(object.kind, object.metadata.namespace, object.metadata.name);

function duplicates(candidate: readonly LocatedObject[], taken: ReadonlyMap<string, LocatedObject>): SourceError[] {
  const own = new Map<string, LocatedObject>();
  const errors: SourceError[] = [];
  for (const one of candidate) {
    const first = taken.get(keyOf(one)) ?? own.get(keyOf(one));
    own.set(keyOf(one), one);
    if (first === undefined) continue;
    const { kind, metadata } = one.object;
    const where = `${first.file}:${first.line}`;
    errors.push({
      file: one.file,
      line: one.line,
      column: one.column,
      field: 'metadata.name',
      message: `${kind} ${metadata.name} is there already in ${where}: expected each object once`,
    });
  }
  return errors;
}

function readFileState(path: string, before: FileState | undefined): FileState {
  const objects = before?.objects ?? [];
  try {
    const { size, mtimeMs, ino } = statSync(path);
    const signature = `${ino} ${size} ${mtimeMs}`;
    if (before?.signature === signature) return before;
    const { objects: found, errors, warnings } = validateText(readFileSync(path, 'utf8'), path);
    return { signature, objects, candidate: errors.length === 0 ? found : undefined, errors, warnings };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `cannot be read: ${reason}`;
    if (before?.signature === message) return before;
    const errors = [{ file: path, line: 1, column: 1, field: '', message }];
    return { signature: message, objects, candidate: undefined, errors, warnings: [] };
  }
}

function listFolder(folder: string, recursive: boolean): string[] {
  return readdirSync(folder, { recursive, withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && YAML_FILE.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (path) =>
        !relative(folder, path)
          .split('/')
          .some((part) => part.startsWith('.')),
    )
    .sort();
}
