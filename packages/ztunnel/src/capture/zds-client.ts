import { setTimeout as sleep } from 'node:timers/promises';
import { asMeshError, MeshError } from '@ambit/common/errors';
import { Backoff } from '@ambit/common/lifecycle/backoff';
import { closeAll, connectSeqpacket, type Message, type SeqpacketSocket } from '@ambit/common/linux/seqpacket';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { EventOutcome, PodEvent } from './pod-event.ts';
import { encodeAck, encodeHello, PACKET_BYTES, parsePacket } from './zds-message.ts';

/** Who acts on the events: the enrolment. */
export interface PodEventSink {
  connected(): Promise<void>;
  disconnected(): Promise<void>;
  handle(event: PodEvent): Promise<EventOutcome>;
}

export interface ZdsOptions {
  /** Path of the CNI's socket (INPOD_UDS). */
  readonly path: string;
  readonly sink: PodEventSink;
  readonly log: ScopedLogger;
  readonly signal: AbortSignal;
  /** The protocol was broken beyond repair: the program has to end with status 1. */
  readonly onFatal: (error: MeshError) => void;
}

const REDIAL_MS = 10;

type SessionEnd = 'closed' | 'hello-failed' | 'fatal';

/** Receives the pods of this node from the CNI, for as long as the signal is not aborted. */
export async function runZdsClient(options: ZdsOptions): Promise<void> {
  const { path, log, signal } = options;
  const connecting = new Backoff({ initialMs: 20, maxMs: 15_000 });
  const announcing = new Backoff({ initialMs: 5, maxMs: 15_000, jitter: 0.2 });
  while (!signal.aborted) {
    let socket: SeqpacketSocket;
    try {
      socket = connectSeqpacket(path);
    } catch (error) {
      const retryMs = connecting.next();
      log.warn('failed to connect to the CNI', { path, error: asMeshError(error).message, retry_ms: retryMs });
      await pause(retryMs, signal);
      continue;
    }
    connecting.reset();
    const end = await runSession(options, socket);
    if (end === 'fatal') return;
    if (end !== 'hello-failed') announcing.reset();
    // A source that accepts and hangs up at once must not keep this loop spinning.
    await pause(end === 'hello-failed' ? announcing.next() : REDIAL_MS, signal);
  }
}

async function runSession(options: ZdsOptions, socket: SeqpacketSocket): Promise<SessionEnd> {
  const { sink, log, signal } = options;
  const close = (): void => socket.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    if (signal.aborted) return 'closed';
    await sink.connected();
    await socket.send(encodeHello());
  } catch (error) {
    log.warn('failed to announce this agent to the CNI', { error: asMeshError(error).message });
    socket.close();
    signal.removeEventListener('abort', close);
    return 'hello-failed';
  }
  try {
    return await receiveAll(options, socket);
  } catch (error) {
    log.warn('connection to the CNI failed', { error: asMeshError(error).message });
    return 'closed';
  } finally {
    signal.removeEventListener('abort', close);
    socket.close();
    await sink.disconnected();
  }
}

/** One packet after another: each is answered before the next is read. */
async function receiveAll(options: ZdsOptions, socket: SeqpacketSocket): Promise<SessionEnd> {
  for (;;) {
    const received = await socket.receive(PACKET_BYTES);
    if (received === 'closed' || received === 'timeout') {
      options.log.info('connection to the CNI closed');
      return 'closed';
    }
    const end = await answer(options, socket, received);
    if (end !== undefined) return end;
  }
}

async function answer(
  options: ZdsOptions,
  socket: SeqpacketSocket,
  received: Message,
): Promise<SessionEnd | undefined> {
  let event: PodEvent;
  try {
    event = readPacket(received);
  } catch (error) {
    const reason = `failure to read message : ${asMeshError(error).message}`;
    options.log.warn(reason);
    await socket.send(encodeAck(reason));
    return 'closed';
  }
  const outcome = await options.sink.handle(event);
  switch (outcome.kind) {
    case 'done':
      await socket.send(encodeAck());
      return undefined;
    case 'failed':
      await socket.send(encodeAck(`failure to start proxy : ${outcome.error}`));
      return undefined;
    case 'fatal':
      await socket.send(encodeAck(`failure to process message : ${outcome.error}`));
      options.onFatal(new MeshError('CONFIG', `the CNI broke the protocol: ${outcome.error}`));
      return 'fatal';
    default:
      return outcome satisfies never;
  }
}

function readPacket({ bytes, fds, truncated }: Message): PodEvent {
  if (!truncated) return parsePacket(bytes, fds);
  closeAll(fds);
  throw new MeshError('CONFIG', `a packet is longer than ${PACKET_BYTES} bytes or carries too many file descriptors`);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // AbortError: the program ends; the caller looks at the signal.
  }
}
