// deadline: 20s
import { once } from 'node:events';
import { createServer } from 'node:tls';
import { Client } from '@grpc/grpc-js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createTestAuthority } from '../../../../test/harness/certificates.ts';
import { secureChannel } from './secure-channel.ts';

const authority = createTestAuthority();
const server = authority.issue('spiffe://cluster.local/ns/a/sa/istiod');

/** What a server of TLS 1.2 only sees of a channel. */
async function meet(tls12: boolean | undefined): Promise<string> {
  const listener = createServer({
    key: server.privateKey,
    cert: server.certificateChain,
    maxVersion: 'TLSv1.2',
    ALPNProtocols: ['h2'],
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const channel = secureChannel({ address: `127.0.0.1:${port}`, roots: server.roots.join('\n'), tls12 });
  const client = new Client(channel.target, channel.credentials, channel.options);
  const seen = new Promise<string>((resolve) => {
    listener.on('secureConnection', (socket) => resolve(`${socket.getProtocol()} ${socket.getCipher().name}`));
    listener.on('tlsClientError', () => resolve('refused'));
  });
  client.waitForReady(Date.now() + 5000, () => undefined);
  const result = await seen;
  client.close();
  listener.close();
  return result;
}

test('a server of TLS 1.2 is refused unless that is switched on, and then gets a cipher with forward secrecy', async () => {
  assert.is(await meet(undefined), 'refused');
  assert.match(await meet(true), /^TLSv1\.2 ECDHE-ECDSA-AES\d+-GCM-SHA\d+$/);
});

test.run();
