import { MeshError } from '@ambit/common/errors';
import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import type { UpstreamEndpoint } from './contract.ts';
import { describe } from './transport.ts';

const TLS_HANDSHAKE = 0x16;
const TLS_ALERT = 0x15;

const ADVICE =
  'the application already speaks TLS and a DestinationRule originates it a second time: remove trafficPolicy.tls, or let the application speak plain HTTP';

/**
 * Watches the first bytes each way of an opaque connection on which this program originates TLS. A ClientHello inside TLS is
 * nearly always a mistake and is said in the log; when it is answered by something else than TLS the connection ends with the reason,
 * where the application would only see a garbled handshake.
 */
export function watchDoubleTls(
  stream: ByteStream,
  endpoint: UpstreamEndpoint,
  warn: (endpoint: UpstreamEndpoint, message: string) => void,
): ByteStream {
  let first = -1;
  let answered = false;
  const onAnswer = (chunk: Uint8Array): boolean => {
    answered = true;
    const byte = chunk[0] ?? 0;
    if (first !== TLS_HANDSHAKE || byte === TLS_HANDSHAKE || byte === TLS_ALERT) return false;
    stream.destroy(
      new MeshError('TLS_FAILED', `${describe(endpoint)} answered a TLS ClientHello with plain text: ${ADVICE}`),
    );
    return true;
  };
  const watching = (sink: ByteSink): ByteSink => ({
    onData: (chunk) => {
      if (!answered && onAnswer(chunk)) return;
      sink.onData(chunk);
    },
    onEnd: () => sink.onEnd(),
    onDrain: () => sink.onDrain(),
    onClose: (error) => sink.onClose(error),
  });
  return {
    attach: (sink) => stream.attach(watching(sink)),
    write: (chunk) => {
      if (first < 0 && chunk.length > 0) {
        first = chunk[0] ?? 0;
        if (first === TLS_HANDSHAKE) warn(endpoint, ADVICE);
      }
      return stream.write(chunk);
    },
    end: () => stream.end(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    cork: () => stream.cork(),
    uncork: () => stream.uncork(),
    destroy: (error) => stream.destroy(error),
  };
}
