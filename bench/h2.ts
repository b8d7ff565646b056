/**
 * Our HTTP/2 session against node:http2 on loopback TLS, client and server in a process each: bytes/s of one tunnel, and exchanges/s of
 * 11 bytes over 1 and 32 tunnels of one connection. `node bench/h2.ts [rounds]`; the two sides alternate.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import { loadavg } from 'node:os';
import { connect as tlsConnect, createServer as createTlsServer } from 'node:tls';
import type { ByteSink } from '@ambit/common/net/byte-stream';
import { socketStream } from '@ambit/common/net/socket-stream';
import { clientSession, serverSession } from '@ambit/http/h2/session';
import { Headers } from '@ambit/http/headers';
import { createTestAuthority } from '../test/harness/certificates.ts';

type Kind = 'ours' | 'node';

const BULK_BYTES = 768 * 1024 * 1024;
const EXCHANGE_MS = 2000;
const CHUNK = Buffer.alloc(64 * 1024, 7);
const SMALL = Buffer.from('hello world');
const WINDOW = 4 * 1024 * 1024;

/** What both clients offer to the loads. */
interface Client {
  /** Opens a tunnel whose server echoes. */
  echo(onData: (bytes: number) => void): Promise<{ write(bytes: Buffer): void }>;
  /** Opens a tunnel whose server sends BULK_BYTES; resolves when all came. */
  bulk(): Promise<void>;
  close(): void;
}

async function serve(kind: Kind): Promise<void> {
  const { certificateChain: cert, privateKey: key } = createTestAuthority().issue('spiffe://b/ns/b/sa/b');
  const tls = { cert, key, minVersion: 'TLSv1.3', ALPNProtocols: ['h2'] } as const;
  const server = kind === 'ours' ? createTlsServer(tls, serveOurs) : serveNode(tls);
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    process.send?.(typeof address === 'object' && address !== null ? address.port : 0);
  });
  process.on('message', () => process.send?.(cpuMs()));
  process.on('disconnect', () => process.exit());
}

function serveOurs(socket: Parameters<typeof socketStream>[0]): void {
  serverSession(
    socketStream(socket),
    { maxConcurrentStreams: 1000 },
    {
      onClose: () => undefined,
      onRequest: (stream, head) => {
        stream.respond({ status: 200, headers: new Headers() }, false);
        let left = head.authority === 'bulk' ? BULK_BYTES : 0;
        const pump = (): void => {
          for (; left > 0; left -= CHUNK.length) if (!stream.write(CHUNK)) return void (left -= CHUNK.length);
          if (head.authority === 'bulk') stream.end();
        };
        stream.attach({
          onData: (chunk) => void stream.write(chunk),
          onDrain: pump,
          onEnd: () => stream.end(),
          onClose: () => undefined,
        });
        pump();
      },
    },
  );
}

function serveNode(tls: http2.SecureServerOptions): http2.Http2SecureServer {
  const settings = { initialWindowSize: WINDOW, maxFrameSize: 1024 * 1024 };
  const server = http2.createSecureServer({ ...tls, settings });
  server.on('session', (session) => session.setLocalWindowSize(4 * WINDOW));
  server.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
    stream.respond({ ':status': 200 });
    let left = headers[':authority'] === 'bulk' ? BULK_BYTES : 0;
    const pump = (): void => {
      for (; left > 0; left -= CHUNK.length) if (!stream.write(CHUNK)) return void (left -= CHUNK.length);
      if (headers[':authority'] === 'bulk') stream.end();
    };
    stream.on('drain', pump);
    stream.on('data', (chunk: Buffer) => void stream.write(chunk));
    stream.on('end', () => stream.end());
    stream.on('error', () => undefined);
    pump();
  });
  return server;
}

async function connectOurs(port: number): Promise<Client> {
  const socket = tlsConnect({ port, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  const session = clientSession(socketStream(socket), {}, { onClose: () => undefined });
  const open = (authority: string, sink: ByteSink): ReturnType<typeof session.request> =>
    session.request(
      { method: 'CONNECT', authority, scheme: undefined, path: undefined, protocol: undefined, headers: new Headers() },
      false,
      sink,
    );
  return {
    echo: async (onData) => {
      const sink: ByteSink = {
        onData: (chunk) => onData(chunk.length),
        onEnd: () => undefined,
        onDrain: () => undefined,
        onClose: () => undefined,
      };
      const stream = open('echo', sink);
      return { write: (bytes) => void stream?.write(bytes) };
    },
    bulk: () =>
      new Promise((resolve) => {
        const stream = open('bulk', {
          onData: () => undefined,
          onEnd: () => {
            stream?.end();
            resolve();
          },
          onDrain: () => undefined,
          onClose: () => undefined,
        });
      }),
    close: () => session.destroy(),
  };
}

async function connectNode(port: number): Promise<Client> {
  const settings = { initialWindowSize: WINDOW, maxFrameSize: 1024 * 1024 };
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, settings });
  await once(session, 'connect');
  session.setLocalWindowSize(4 * WINDOW);
  session.on('error', () => undefined);
  const open = (authority: string): http2.ClientHttp2Stream => {
    const stream = session.request({ ':method': 'CONNECT', ':authority': authority });
    stream.on('error', () => undefined);
    return stream;
  };
  return {
    echo: async (onData) => {
      const stream = open('echo');
      stream.on('data', (chunk: Buffer) => onData(chunk.length));
      await once(stream, 'response');
      return { write: (bytes) => void stream.write(bytes) };
    },
    bulk: async () => {
      const stream = open('bulk');
      stream.on('data', () => undefined);
      await once(stream, 'end');
      stream.end();
    },
    close: () => session.destroy(),
  };
}

async function exchanges(client: Client, tunnels: number): Promise<number> {
  let count = 0;
  const started = performance.now();
  const over = Promise.withResolvers<void>();
  for (let i = 0; i < tunnels; i++) {
    let got = 0;
    const tunnel = await client.echo((bytes) => {
      if ((got += bytes) < SMALL.length) return;
      got = 0;
      count++;
      if (performance.now() - started < EXCHANGE_MS) tunnel.write(SMALL);
      else over.resolve();
    });
    tunnel.write(SMALL);
  }
  await over.promise;
  return (count / (performance.now() - started)) * 1000;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

interface Figures {
  readonly gbits: number;
  readonly one: number;
  readonly many: number;
  /** Of both processes. */
  readonly cpuPerGb: number;
}

async function measure(kind: Kind): Promise<Figures> {
  const child = fork(import.meta.filename, ['server', kind]);
  const [port]: number[] = await once(child, 'message');
  const client = await (kind === 'ours' ? connectOurs : connectNode)(port ?? 0);
  const one = await exchanges(client, 1);
  const many = await exchanges(client, 32);
  const cpu = async (): Promise<number> => {
    child.send('cpu');
    const [ms]: number[] = await once(child, 'message');
    return (ms ?? 0) + cpuMs();
  };
  const cpuBefore = await cpu();
  const started = performance.now();
  await client.bulk();
  const gbits = (BULK_BYTES * 8) / (performance.now() - started) / 1e6;
  const cpuPerGb = ((await cpu()) - cpuBefore) / 1000 / (BULK_BYTES / 1e9);
  client.close();
  child.disconnect();
  return { gbits, one, many, cpuPerGb };
}

async function main(rounds: number): Promise<void> {
  console.log(`load before: ${loadavg()[0]?.toFixed(2)}`);
  console.log('side  Gbit/s (1 stream)  CPU s/GB  exchanges/s (1 tunnel)  exchanges/s (32 tunnels)');
  for (let round = 0; round < rounds; round++)
    for (const kind of ['ours', 'node'] as const) {
      const { gbits, one, many, cpuPerGb } = await measure(kind);
      console.log(
        `${kind}  ${gbits.toFixed(2).padStart(8)}  ${cpuPerGb.toFixed(2).padStart(8)}  ${one.toFixed(0).padStart(10)}  ${many.toFixed(0).padStart(10)}`,
      );
    }
  process.exit();
}

if (process.argv[2] === 'server') await serve(process.argv[3] === 'ours' ? 'ours' : 'node');
else await main(Number(process.argv[2] ?? 2));
