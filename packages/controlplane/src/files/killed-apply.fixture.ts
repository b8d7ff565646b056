import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/**
 * The program that a test kills: applies a YAML text to a folder source, and dies by SIGKILL at the n-th step that
 * changes a file, or in the middle of it where a step writes text.
 */
const [, , stateDir = '', textFile = '', deathStep = '0'] = process.argv;
const text = fs.readFileSync(textFile, 'utf8');
/** Steps of loading modules do not count. */
let armed = false;
let step = 0;
const isDeath = (): boolean => armed && ++step === Number(deathStep);
const die = (): void => void process.kill(process.pid, 'SIGKILL');

const { writeFileSync, renameSync, rmSync, openSync, fsyncSync } = fs;
function counted<A extends unknown[], R>(action: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    if (isDeath()) die();
    return action(...args);
  };
}
Object.assign(fs, {
  renameSync: counted(renameSync),
  rmSync: counted(rmSync),
  openSync: counted(openSync),
  fsyncSync: counted(fsyncSync),
  writeFileSync: (file: number | string, data: string): void => {
    if (isDeath()) {
      writeFileSync(file, data.slice(0, data.length / 2));
      die();
    }
    writeFileSync(file, data);
  },
});

const { ObjectStore } = await import('../collections/object-store.ts');
const { FolderSource } = await import('./folder-source.ts');
const source = new FolderSource({ folders: [], stateDir, store: new ObjectStore() });
source.start({ watch: false });
armed = true;
syncBuiltinESMExports();
source.apply(text, 'change.yaml');
