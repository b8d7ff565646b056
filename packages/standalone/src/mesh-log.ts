import { pino } from 'pino';

const STANDARD_OUTPUT = 1;
/** What may wait for a slow disk; beyond it lines are dropped rather than memory taken. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/** Writes lines of the mesh's own log to standard output in the background, through pino's destination; the rest follows when the process ends. */
export function meshLogWriter(): (line: string) => void {
  const destination = pino.destination({ dest: STANDARD_OUTPUT, sync: false, maxLength: MAX_WAITING_BYTES });
  process.on('exit', () => destination.flushSync());
  return (line) => void destination.write(`${line}\n`);
}
