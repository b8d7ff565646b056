import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** One older file of the same size is kept beside the current one. */
const MAX_BYTES = 10 * 1024 * 1024;
const LAST_LINES = 20;
const MAX_LINE_CHARS = 2000;

/** What a container has printed: a file that is rotated at a bound, its last lines in memory, and whoever follows it. */
export class LogFile {
  readonly path: string;
  readonly #followers = new Set<(chunk: Uint8Array) => void>();
  #fd: number;
  #size: number;
  #lines: string[] = [];
  #partial = '';

  constructor(path: string) {
    this.path = path;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, 'a', 0o600);
    this.#size = statSync(path).size;
  }

  /** Synchronous, so that whoever reads the file after a follower was told finds the same bytes. */
  write(chunk: Uint8Array): void {
    if (this.#fd < 0) return;
    if (this.#size + chunk.length > MAX_BYTES) this.#rotate();
    writeSync(this.#fd, chunk);
    this.#size += chunk.length;
    this.#remember(Buffer.from(chunk).toString());
    for (const follower of this.#followers) follower(chunk);
  }

  /** The newest lines, for a status. */
  lastLines(): readonly string[] {
    return this.#partial === '' ? this.#lines : [...this.#lines, this.#partial].slice(-LAST_LINES);
  }

  /** Everything that is kept, oldest first; with `tailLines` only the last lines. */
  read(tailLines?: number): string {
    const older = `${this.path}.1`;
    const whole = (existsSync(older) ? readFileSync(older, 'utf8') : '') + readFileSync(this.path, 'utf8');
    if (tailLines === undefined) return whole;
    if (tailLines === 0) return '';
    const lines = whole.split('\n');
    const open = lines.at(-1) === '' ? 1 : 0;
    return lines.slice(-(tailLines + open)).join('\n');
  }

  /** @returns the function that ends it. */
  follow(follower: (chunk: Uint8Array) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#followers.clear();
  }

  #rotate(): void {
    closeSync(this.#fd);
    renameSync(this.path, `${this.path}.1`);
    this.#fd = openSync(this.path, 'a', 0o600);
    this.#size = 0;
  }

  #remember(text: string): void {
    const lines = `${this.#partial}${text}`.split('\n');
    this.#partial = (lines.pop() ?? '').slice(-MAX_LINE_CHARS);
    if (lines.length > 0)
      this.#lines = [...this.#lines, ...lines.map((line) => line.slice(0, MAX_LINE_CHARS))].slice(-LAST_LINES);
  }
}
