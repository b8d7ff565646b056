/**
 * The live heap of a running Node process, in bytes: its inspector is opened, asked to collect garbage, and read. Resident memory says
 * little within seconds: V8 and malloc keep what they have had. Run as a program, it asks the inspector of its own network namespace.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const INSPECTOR = 'http://127.0.0.1:9229/json';
const TRIES = 40;

/** Heap and buffers that are in use in a process of a mesh after a full collection. */
export function liveHeap(pid: number): number {
  process.kill(pid, 'SIGUSR1');
  const user = process.getuid?.() === 0 ? [] : ['--user', '--preserve-credentials'];
  const words = [...user, '--net', '--target', String(pid), process.execPath, import.meta.filename];
  return Number(execFileSync('nsenter', words, { encoding: 'utf8', timeout: 15_000 }));
}

let calls = 0;
if (import.meta.main) console.log(await ask());

async function ask(): Promise<number> {
  const socket = new WebSocket(await debuggerUrl());
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  // twice: what finalizers let go of is collected the second time
  await call(socket, 'HeapProfiler.collectGarbage');
  await call(socket, 'HeapProfiler.collectGarbage');
  const expression = '(({ heapUsed, arrayBuffers }) => heapUsed + arrayBuffers)(process.memoryUsage())';
  const answer = await call(socket, 'Runtime.evaluate', { expression });
  socket.close();
  return Number(/"value":(\d+)/.exec(answer)?.[1]);
}

async function debuggerUrl(): Promise<string> {
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      const found = /"webSocketDebuggerUrl": "([^"]+)"/.exec(await (await fetch(INSPECTOR)).text());
      if (found?.[1] !== undefined) return found[1];
    } catch {
      // ECONNREFUSED: the inspector is still being opened
    }
    await sleep(100);
  }
  throw new Error('the inspector of the process did not open');
}

function call(socket: WebSocket, method: string, params: object = {}): Promise<string> {
  const id = ++calls;
  return new Promise((resolve) => {
    socket.addEventListener('message', ({ data }) => {
      if (String(data).startsWith(`{"id":${id},`)) resolve(String(data));
    });
    socket.send(JSON.stringify({ id, method, params }));
  });
}
