import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Writes a file so that readers see the old text or the new one, also after a crash; with `durable` after a loss of power
 * too, which waits for the disk. Mode 0600, as Secrets are among what is kept.
 */
export function writeWhole(file: string, text: string, how?: 'durable'): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    fill(`${file}.tmp`, text, how);
    renameSync(`${file}.tmp`, file);
  } catch (error) {
    removeFile(`${file}.tmp`);
    throw error;
  }
}

function fill(file: string, text: string, how: 'durable' | undefined): void {
  const descriptor = openSync(file, 'w', 0o600);
  try {
    writeFileSync(descriptor, text);
    if (how === 'durable') fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Removes a file that may be there. */
export const removeFile = (file: string): void => rmSync(file, { force: true });
