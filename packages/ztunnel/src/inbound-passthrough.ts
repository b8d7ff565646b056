import type { Socket } from 'node:net';
import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { Workload } from '@ambit/common/model/workload';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import { socketStream } from '@ambit/common/net/socket-stream';
import { splice } from '@ambit/common/net/splice';
import { describeDenial } from './authorize/guard.ts';
import { capturedDestination, peerOf } from './capture/original-dst.ts';
import { localServices } from './classify/inbound.ts';
import { deliver } from './inbound.ts';
import { inboundFacts } from './inbound-facts.ts';
import { failedOutcome, spliceOutcome } from './outcome.ts';
import type { PodContext } from './pod-context.ts';

interface Captured {
  readonly client: ByteStream;
  readonly source: HostPort;
  readonly destination: HostPort;
}

/** Carries one plaintext connection to the pod: capture → authorize (nobody is its principal) → deliver → record. */
export function acceptPassthrough(context: PodContext, socket: Socket): void {
  const source = peerOf(socket);
  const destination = capturedDestination(socket);
  const client = socketStream(socket);
  if (source === undefined || destination === undefined) return client.destroy();
  const closed = context.telemetry.socketOpened('destination');
  const release = context.drain.hold();
  socket.once('close', () => {
    closed();
    release();
  });
  void carryPassthrough(context, { client, source, destination });
}

async function carryPassthrough(context: PodContext, captured: Captured): Promise<void> {
  const { client, source, destination } = captured;
  try {
    if (context.ownPorts.has(destination.port))
      throw new MeshError(
        'LIMIT',
        `attempted recursive call to ourselves: ${formatHostPort(destination.ip, destination.port)}`,
      );
    await authorizeAndDeliver(context, captured, await context.local.get());
  } catch (error) {
    context.telemetry.failed('inbound', source, destination, asMeshError(error).message);
    client.destroy();
  }
}

async function authorizeAndDeliver(
  context: PodContext,
  { client, source, destination }: Captured,
  local: Workload,
): Promise<void> {
  const services = localServices(context.view, local);
  const facts = inboundFacts(context, {
    local,
    source,
    destination,
    application: destination,
    services,
    tunnel: undefined,
  });
  const record = context.telemetry.open(facts);
  const admission = context.guard.admit(local, {
    identity: undefined,
    sourceIp: source.ip,
    remoteIp: source.ip,
    destinationIp: destination.ip,
    destinationPort: destination.port,
    sni: undefined,
    http: undefined,
  });
  if (admission.kind === 'denied') {
    client.destroy();
    const error = new MeshError('POLICY_DENIED', describeDenial(admission.verdict));
    return record.complete({ error, verdict: admission.verdict });
  }
  const { permit } = admission;
  const live = { src: source, originalDst: null, actualDst: destination, protocol: 'TCP' } as const;
  const { connections } = context;
  const entry = connections.add('inbound', live, (error) => client.destroy(error));
  permit.whenRevoked((error) => entry.cut(error));
  try {
    const application = await deliver(context, permit, { source, decision: { destination, loopback: false } });
    const copy = splice(client, application, (result) => {
      connections.remove(entry);
      permit.release();
      record.complete({ ...spliceOutcome(result), verdict: permit.verdict });
    });
    entry.cut = (error) => copy.abort(error);
    record.measure(copy);
    client.resume();
  } catch (error) {
    connections.remove(entry);
    permit.release();
    client.destroy();
    record.complete({ ...failedOutcome(error), verdict: permit.verdict });
  }
}
