import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError, asMeshError } from '@ambit/common/errors';
import { type Flag, UsageError } from './command.ts';

export const FILENAME: Flag = {
  name: 'filename',
  short: 'f',
  value: 'FILE',
  multiple: true,
  summary: 'file, folder of *.yaml, or - for standard input',
};

/** Folders become their *.yaml, *.yml and *.json files, in order of name, as kubectl takes them. */
export function expandFiles(names: readonly string[]): string[] {
  if (names.length === 0) throw new UsageError('name files with -f FILE');
  return names.flatMap((name) => {
    if (name === '-' || !isFolder(name)) return [name];
    const files = readdirSync(name)
      .filter((file) => /\.(ya?ml|json)$/.test(file))
      .sort();
    if (files.length === 0) throw new MeshError('CONFIG', `"${name}" has no files *.yaml, *.yml or *.json`);
    return files.map((file) => join(name, file));
  });
}

/** The text of a file, or all of standard input for `-`. */
export function readInput(name: string): string {
  try {
    return readFileSync(name === '-' ? 0 : name, 'utf8');
  } catch (error) {
    throw new MeshError('CONFIG', `cannot read "${name}": ${asMeshError(error).message}`, { cause: error });
  }
}

/** How messages name a file. */
export const fileTitle = (name: string): string => (name === '-' ? 'standard input' : name);

function isFolder(name: string): boolean {
  try {
    return statSync(name).isDirectory();
  } catch (error) {
    throw new MeshError('CONFIG', `cannot read "${name}": no such file or folder`, { cause: error });
  }
}
