import { type IncomingMessage, type ServerResponse, request as httpRequest } from 'node:http';
import type { IpAddress } from '@ambit/common/address/ip';
import type { Pod } from '../pod/pod.ts';
import { LOOPBACK, connectInPod } from '../pod/room.ts';
import { ApiError } from './answer.ts';

const DEADLINE_MS = 20_000;

/** Answers with what a GET on a port of the pod gives: on the pod's own loopback, else on its address, as port-forwarding does. */
export async function proxyGet(pod: Pod, response: ServerResponse, query: URLSearchParams): Promise<void> {
  const port = Number(query.get('port'));
  const path = query.get('path') ?? '/';
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new ApiError(400, `port=${query.get('port') ?? ''} is not a port`);
  if (!/^\/[\x21-\x7e]*$/.test(path)) throw new ApiError(400, `path=${path} is not a path`);
  const hosts = [LOOPBACK, ...(pod.network?.addresses ?? [])];
  const answer = await firstAnswer(pod, hosts, port, path);
  response.writeHead(answer.statusCode ?? 502, { 'content-type': answer.headers['content-type'] ?? 'text/plain' });
  answer.pipe(response);
  response.once('close', () => answer.destroy());
}

async function firstAnswer(
  pod: Pod,
  hosts: readonly IpAddress[],
  port: number,
  path: string,
): Promise<IncomingMessage> {
  let last = '';
  for (const host of hosts) {
    try {
      return await get(pod, host, port, path);
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
  }
  throw new ApiError(502, `port ${port} of pod "${pod.object.metadata.name}" does not answer: ${last}`);
}

function get(pod: Pod, host: IpAddress, port: number, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({
      host,
      port,
      path,
      headers: { connection: 'close', accept: '*/*' },
      createConnection: () => connectInPod(pod, host, port),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    sent.once('response', resolve);
    sent.once('error', reject);
    sent.end();
  });
}
