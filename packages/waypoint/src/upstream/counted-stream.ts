import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import type { EndpointLoad } from './balance.ts';
import type { PoolUsage } from './limits.ts';

/** Counts an opaque connection, in its backend port and as load of its endpoint, until it closes. */
export function counted(stream: ByteStream, usage: PoolUsage, load: EndpointLoad): ByteStream {
  usage.connections++;
  load.active++;
  let open = true;
  const onClosed = (): void => {
    if (!open) return;
    open = false;
    usage.connections--;
    load.active--;
  };
  return {
    attach: (sink) => stream.attach(closingOnce(sink, onClosed)),
    write: (chunk) => stream.write(chunk),
    end: () => stream.end(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    cork: () => stream.cork(),
    uncork: () => stream.uncork(),
    destroy: (error) => stream.destroy(error),
  };
}

/** The same sink, told apart only at its end: one more call per chunk, no copy. */
function closingOnce(sink: ByteSink, onClosed: () => void): ByteSink {
  return {
    onData: (chunk) => sink.onData(chunk),
    onEnd: () => sink.onEnd(),
    onDrain: () => sink.onDrain(),
    onClose: (error) => {
      onClosed();
      sink.onClose(error);
    },
  };
}
