import { flushCompileCache } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Long enough for the burst of a start (configuration, certificates, first pods) to be over. */
const SETTLE_MS = 5000;

/**
 * Some seconds after a start, gives back to the machine what only the start needed: source text, parse trees, the empty half of a heap that
 * grew while modules were loaded. About 10 MB of a program that then idles, for one pause of some 20 ms. It also saves compiled code
 * at once, where NODE_COMPILE_CACHE says, so that the next start is spared of compiling even when this process is killed.
 */
export function settleLater(): void {
  flushCompileCache();
  setTimeout(collectAll, SETTLE_MS).unref();
}

/** V8 collects by itself only while a program allocates; one that idles keeps the garbage of its start for ever. */
function collectAll(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  // `last-resort` also shrinks the young generation, which a plain collection leaves at its size
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
