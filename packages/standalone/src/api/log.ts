import type { ServerResponse } from 'node:http';
import type { Pod } from '../pod/pod.ts';
import { ApiError } from './answer.ts';
import { needContainer } from './exec.ts';

const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

/** Sends what a container has printed, and with `follow=true` what it prints from now on. */
export function sendLog(pod: Pod, response: ServerResponse, query: URLSearchParams): void {
  const container = needContainer(pod, query.get('container') ?? undefined);
  const tail = query.get('tailLines');
  if (tail !== null && !/^\d+$/.test(tail)) throw new ApiError(400, `tailLines=${tail} is not a number of lines`);
  const text = container.log.read(tail === null ? undefined : Number(tail));
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
  if (query.get('follow') !== 'true') return void response.end(text);
  response.flushHeaders();
  response.write(text);
  const stop = container.log.follow((chunk) => {
    if (response.writableLength > MAX_UNREAD_BYTES) response.destroy();
    else response.write(chunk);
  });
  response.once('close', stop);
  void container.finished.then(() => response.end());
}
