import type { HostPort } from '@ambit/common/address/host-port';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { type Service, serviceKey } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import type { Headers } from '@ambit/http/headers';
import { workloadIdentity } from './classify/next-hop.ts';
import type { PodContext } from './pod-context.ts';
import type { ConnectionFacts } from './telemetry/connection-record.ts';
import { baggageParty, type Party, UNKNOWN_PARTY, workloadParty } from './telemetry/traffic-labels.ts';
import { forwardedHost, peerBaggage } from './tunnel-head.ts';

/** What an inbound connection is reported by. */
export interface InboundArrival {
  readonly local: Workload;
  readonly source: HostPort;
  readonly destination: HostPort;
  /** Where the application is. */
  readonly application: HostPort;
  /** Services it may have been meant for. */
  readonly services: readonly Service[];
  /** Undefined for plaintext. */
  readonly tunnel: { readonly authority: string; readonly headers: Headers; readonly peer: SpiffeId } | undefined;
}

/** The peer is described by the mesh where its address is known there, else by its baggage; its identity comes from TLS alone. */
export function inboundFacts(context: Pick<PodContext, 'view' | 'config'>, arrival: InboundArrival): ConnectionFacts {
  const { local, tunnel } = arrival;
  return {
    direction: 'inbound',
    reporter: 'destination',
    sourceAddress: arrival.source,
    destinationAddress: arrival.destination,
    hboneAddress: tunnel?.authority,
    source: sourceParty(context, arrival),
    sourcePrincipal: tunnel?.peer,
    destination: workloadParty(local),
    destinationPrincipal: workloadIdentity(local),
    service: guessService(arrival),
    mutualTls: tunnel !== undefined,
  };
}

function sourceParty({ view, config }: Pick<PodContext, 'view' | 'config'>, { source, tunnel }: InboundArrival): Party {
  const network = tunnel?.headers.get('x-forwarded-network');
  const foreign = network !== undefined && network.toLowerCase() !== config.network.toLowerCase();
  const workload = foreign ? undefined : view.workloadByAddress(config.network, source.ip);
  if (workload !== undefined) return workloadParty(workload);
  return tunnel === undefined || !config.responseBaggage ? UNKNOWN_PARTY : baggageParty(peerBaggage(tunnel.headers));
}

/** The service that the client named, if it is one of ours; else the first that has this port here. */
function guessService({ local, application, services, tunnel }: InboundArrival): Service | undefined {
  const named = tunnel === undefined ? undefined : forwardedHost(tunnel.headers);
  const asked = services.find((one) => one.hostname === named);
  return asked ?? services.find((one) => servesPort(local, one, application.port));
}

function servesPort(local: Workload, service: Service, port: number): boolean {
  const own = local.services.get(serviceKey(service.namespace, service.hostname));
  for (const target of own?.values() ?? []) if (target === port) return true;
  return service.ports.some((one) => one.targetPort === port);
}
