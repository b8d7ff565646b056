/**
 * The pretended internet: HTTP on 80, HTTPS on 443 (certificate by SNI) and DNS on 53 for a handful of names.
 * Started in a namespace outside the cluster with one argument, the folder that holds `world.json`.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import { createSecureContext, TLSSocket } from 'node:tls';
import { serveDns } from './dns.ts';
import { OUTSIDE_DNS, type World } from './world.ts';

const folder = process.argv[2] ?? '.';
const world: World = JSON.parse(readFileSync(join(folder, 'world.json'), 'utf8'));
const contexts = new Map(
  world.hosts.map((host) => [
    host.name,
    createSecureContext({ cert: host.certificate, key: host.privateKey, ca: world.root }),
  ]),
);
const first = world.hosts[0];

createServer(answer).listen(80, '0.0.0.0');
createTlsServer(
  {
    cert: first?.certificate,
    key: first?.privateKey,
    ca: world.root,
    requestCert: true,
    rejectUnauthorized: false,
    SNICallback: (name, done) => done(null, contexts.get(name)),
  },
  answer,
).listen(443, '0.0.0.0');
serveDns(OUTSIDE_DNS, new Map(world.hosts.map((host) => [host.name, host.address])));
console.log(`the outside world serves ${world.hosts.map((host) => host.name).join(', ')}`);

/** Says what arrived, as httpbin does, and how: plain or TLS, with which SNI and client certificate. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const socket = request.socket;
    const tls = socket instanceof TLSSocket ? tlsFacts(socket) : null;
    const host = request.headers.host ?? '';
    const body = {
      method: request.method,
      url: `${tls === null ? 'http' : 'https'}://${host}${request.url ?? ''}`,
      headers: request.headers,
      origin: socket.remoteAddress?.replace('::ffff:', ''),
      data: Buffer.concat(chunks).toString(),
      tls,
    };
    response.setHeader('content-type', 'application/json');
    response.setHeader('server', 'httpbin');
    response.end(`${JSON.stringify(body, undefined, 2)}\n`);
  });
}

function tlsFacts(socket: TLSSocket): object {
  const client = socket.getPeerCertificate();
  const presented = Object.keys(client ?? {}).length > 0;
  return {
    sni: socket.servername || null,
    protocol: socket.getProtocol(),
    clientCertificate: presented ? { subject: client.subject.CN, verified: socket.authorized } : null,
  };
}
