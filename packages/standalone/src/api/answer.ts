import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshError } from '@ambit/common/errors';

/** A request that is answered with this status and message. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value)}\n`);
}

/** Kubernetes' `Status` object, whose `message` people read. */
export const statusObject = (code: number, message: string): Record<string, unknown> => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: code < 400 ? 'Success' : 'Failure',
  message,
  code,
});

/** The whole body as text. Rejects when it is longer than the limit. */
export async function readText(request: IncomingMessage, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Uint8Array)) continue;
    size += chunk.length;
    if (size > limit) throw new ApiError(413, `the request is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What anything thrown means to the caller. */
export function failureStatus(error: unknown): { status: number; message: string } {
  if (error instanceof ApiError) return { status: error.status, message: error.message };
  if (error instanceof MeshError) return { status: error.code === 'CONFIG' ? 422 : 500, message: error.message };
  return { status: 500, message: error instanceof Error ? error.message : String(error) };
}
