import { randomBytes } from 'node:crypto';

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/i;

/** A new trace for one connection: `00-<32 hex>-<16 hex>-00`. */
export function newTraceparent(random: (bytes: number) => Buffer = randomBytes): string {
  return `00-${random(16).toString('hex')}-${random(8).toString('hex')}-00`;
}

/** The trace id, used to find both ends of a connection in the logs; undefined when the header is not exactly four hex groups in 55 characters. */
export function parseTraceId(header: string | undefined): string | undefined {
  return TRACEPARENT.exec(header ?? '')?.[1]?.toLowerCase();
}
