import { write as writeAsync, writeSync } from 'node:fs';

/** More than this waiting for a reader that does not read: further lines are dropped and counted. */
const MAX_WAITING_CHARACTERS = 4 << 20;
/** When the descriptor is non-blocking and full. */
const RETRY_MS = 10;
/** What a write that is under way gets to finish when the process ends: nothing can tell any more that it has. */
const LAST_WRITE_MS = 50;

/**
 * Writes lines to a descriptor in the background: a reader that stalls costs lines, never traffic. What is left is
 * written when the process ends.
 */
export function lineWriter(fd: number): (line: string) => void {
  const state: Output = { fd, pending: '', busy: false, writing: false, dropped: 0 };
  process.once('exit', () => flushAtExit(state));
  return (line) => {
    if (state.pending.length > MAX_WAITING_CHARACTERS) {
      state.dropped += 1;
      return;
    }
    if (state.dropped > 0) state.pending += `${state.dropped} log lines were dropped: nobody read them\n`;
    state.dropped = 0;
    state.pending += `${line}\n`;
    if (state.busy) return;
    state.busy = true;
    // Everything of this turn goes out in one write.
    setImmediate(() => writePending(state));
  };
}

interface Output {
  readonly fd: number;
  pending: string;
  /** A write is under way or will start this turn. */
  busy: boolean;
  /** The descriptor has bytes that may not have been written yet. */
  writing: boolean;
  dropped: number;
}

function writePending(state: Output): void {
  const bytes = Buffer.from(state.pending);
  state.pending = '';
  if (bytes.length === 0) state.busy = false;
  else writeAll(state, bytes);
}

function writeAll(state: Output, bytes: Buffer): void {
  state.writing = true;
  writeAsync(state.fd, bytes, (error, written) => {
    state.writing = false;
    const rest = bytes.subarray(written);
    if (error?.code === 'EAGAIN') setTimeout(() => writeAll(state, bytes), RETRY_MS);
    // EPIPE, EIO: the reader has gone, and with it whoever would want to know.
    else if (error !== null || rest.length === 0) writePending(state);
    else writeAll(state, rest);
  });
}

function flushAtExit(state: Output): void {
  // The last write must come before what is still to be written, or the lines change places.
  if (state.writing) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_WRITE_MS);
  try {
    if (state.pending !== '') writeSync(state.fd, state.pending);
  } catch {
    // EAGAIN, EPIPE: nobody reads, and there is no time left to wait
  }
}
