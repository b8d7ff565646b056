/**
 * Drives an HBONE server: `connections` tunnels, each a keep-alive HTTP/1.1 client inside, for some seconds.
 * One process, the same for every peer, so that only the peer differs.
 */
import { connect } from 'node:net';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { HostPort } from '@ambit/common/address/host-port';
import type { ByteSink } from '@ambit/common/net/byte-stream';
import { HbonePool, type Tunnel } from '@ambit/hbone';
import { Headers } from '@ambit/http/headers';

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly errors: number;
}

export interface LoadOptions {
  readonly credentials: Credentials;
  readonly accept: SpiffeId;
  readonly proxy: HostPort;
  /** CONNECT authority. */
  readonly authority: string;
  readonly connections: number;
  readonly seconds: number;
  readonly path: string;
}

/** Latencies in milliseconds. */
export async function hboneLoad(options: LoadOptions): Promise<LoadResult> {
  const pool = new HbonePool({
    maxStreams: 100,
    idleMs: 60_000,
    streamWindow: 4_194_304,
    connectionWindow: 16_777_216,
    frameSize: 1_048_576,
    dial: (address) =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: address.ip, port: address.port, noDelay: true });
        socket.once('connect', () => resolve(socket));
        socket.once('error', reject);
      }),
  });
  const signal = AbortSignal.timeout((options.seconds + 20) * 1000);
  const target = { address: options.proxy, accept: [options.accept], source: options.proxy.ip };
  const tunnels = await Promise.all(
    Array.from({ length: options.connections }, () =>
      pool.open(options.credentials, target, { authority: options.authority, headers: new Headers() }, signal),
    ),
  );
  const latencies: number[] = [];
  const until = performance.now() + options.seconds * 1000;
  const request = Buffer.from(`GET ${options.path} HTTP/1.1\r\nhost: bench.example\r\nuser-agent: bench\r\n\r\n`);
  const errors = await Promise.all(tunnels.map((tunnel) => drive(tunnel, request, { until, latencies })));
  await pool[Symbol.asyncDispose]();
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return {
    requestsPerSecond: latencies.length / options.seconds,
    p50: at(0.5),
    p99: at(0.99),
    errors: errors.reduce((a, b) => a + b, 0),
  };
}

/** One request after another until the time is up; resolves with the number of answers that were not 200. */
function drive(tunnel: Tunnel, request: Buffer, run: { until: number; latencies: number[] }): Promise<number> {
  return new Promise((resolve) => {
    let sent = 0;
    let missing = 0;
    let errors = 0;
    let head = '';
    const next = (): void => {
      if (performance.now() > run.until) return tunnel.destroy();
      sent = performance.now();
      missing = -1;
      head = '';
      tunnel.write(request);
    };
    const sink: ByteSink = {
      onData(chunk) {
        if (missing < 0) {
          head += Buffer.from(chunk).toString('latin1');
          const end = head.indexOf('\r\n\r\n');
          if (end < 0) return;
          if (!head.startsWith('HTTP/1.1 200')) errors++;
          missing = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0) - (head.length - end - 4);
        } else missing -= chunk.length;
        if (missing > 0) return;
        run.latencies.push(performance.now() - sent);
        next();
      },
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: () => resolve(errors),
    };
    tunnel.attach(sink);
    next();
  });
}
