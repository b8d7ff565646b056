import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '@ambit/common/errors';

/** A folder for keys: 0700, its files 0600 and replaced whole. */
export class PrivateFolder {
  readonly #path: string;

  /** Makes the folder if it is missing. @throws MeshError CONFIG when others than its owner may write into it. */
  constructor(path: string) {
    this.#path = path;
    if (!existsSync(path)) {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      chmodSync(path, 0o700);
    }
    const { mode } = statSync(path);
    if ((mode & 0o022) !== 0) {
      throw new MeshError('CONFIG', `folder ${path} may be written by others (${octal(mode)}): run chmod 700 ${path}`);
    }
  }

  /** The text of a file; undefined when there is none. @throws MeshError CONFIG when a secret can be read by others. */
  read(name: string, secret: boolean): string | undefined {
    const file = join(this.#path, name);
    if (!existsSync(file)) return undefined;
    const { mode } = statSync(file);
    if (secret && (mode & 0o077) !== 0) {
      throw new MeshError('CONFIG', `key ${file} may be read by others (${octal(mode)}): run chmod 600 ${file}`);
    }
    return readFileSync(file, 'utf8');
  }

  /** Replaces a file; a reader sees the old text or the new, never a part. */
  write(name: string, text: string): void {
    const file = join(this.#path, name);
    const temporary = `${file}.new`;
    rmSync(temporary, { force: true });
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx', flush: true });
    renameSync(temporary, file);
  }

  /** Where a file of this name lies, for messages. */
  path(name: string): string {
    return join(this.#path, name);
  }

  remove(name: string): void {
    rmSync(join(this.#path, name), { force: true });
  }
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0');
