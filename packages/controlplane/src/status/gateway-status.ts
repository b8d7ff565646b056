import type { KubeObject } from '../collections/object.ts';
import type { GatewayForm } from '../ingest/gateway.ts';
import type { Condition } from './conditions.ts';

export interface GatewayAddressStatus {
  readonly type: 'IPAddress' | 'Hostname';
  readonly value: string;
}

export interface ListenerStatus {
  readonly name: string;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly unknown[];
  readonly conditions: readonly Condition[];
}

/** Types of a Gateway's conditions that are ours. */
export const GATEWAY_CONDITIONS: ReadonlySet<string> = new Set(['Accepted', 'Programmed', 'ResolvedRefs']);

/** Cluster IPs, then the name of the Service. */
export function waypointAddresses(service: KubeObject, clusterDomain: string): GatewayAddressStatus[] {
  const { clusterIPs, clusterIP } = service.spec ?? {};
  const ips = Array.isArray(clusterIPs) ? clusterIPs.filter((ip) => typeof ip === 'string') : [];
  if (ips.length === 0 && typeof clusterIP === 'string') ips.push(clusterIP);
  const { name, namespace = 'default' } = service.metadata;
  return [
    ...ips.filter((ip) => ip !== 'None' && ip !== '').map((value) => ({ type: 'IPAddress' as const, value })),
    { type: 'Hostname', value: `${name}.${namespace}.svc.${clusterDomain}` },
  ];
}

/** Conditions of a waypoint's Gateway; `addresses` are empty until a first endpoint was ready. */
export function gatewayConditions(gateway: GatewayForm, addresses: readonly GatewayAddressStatus[]): Condition[] {
  const seen = generation(gateway);
  const service = addresses.find((one) => one.type === 'Hostname')?.value ?? '';
  const programmed: Condition =
    addresses.length > 0
      ? {
          type: 'Programmed',
          status: 'True',
          reason: 'Programmed',
          message: `Resource programmed, assigned to service(s) ${service}:15008`,
          ...seen,
        }
      : {
          type: 'Programmed',
          status: 'False',
          reason: 'AddressNotAssigned',
          message: 'Assigned to service(s) without a ready endpoint: is the pod of the waypoint running and ready?',
          ...seen,
        };
  return [
    { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'Resource accepted', ...seen },
    programmed,
    { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'All references resolved', ...seen },
  ];
}

/** A waypoint has one kind of listener; others say so and change nothing. */
export function listenerStatuses(gateway: GatewayForm): ListenerStatus[] {
  const seen = generation(gateway);
  return gateway.listeners.map(({ name, protocol, port }) => {
    const known = protocol === 'HBONE' && port === 15_008;
    const accepted: Condition = known
      ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'No errors found', ...seen }
      : {
          type: 'Accepted',
          status: 'False',
          reason: 'UnsupportedProtocol',
          message: `a waypoint listens for HBONE on port 15008: ${protocol} on port ${port} is not served`,
          ...seen,
        };
    const fine = (type: string, status: 'True' | 'False', reason: string): Condition => ({
      type,
      status,
      reason,
      message: 'No errors found',
      ...seen,
    });
    return {
      name,
      attachedRoutes: 0,
      supportedKinds: [],
      conditions: [
        accepted,
        fine('Programmed', 'True', 'Programmed'),
        fine('Conflicted', 'False', 'NoConflicts'),
        fine('ResolvedRefs', 'True', 'ResolvedRefs'),
      ],
    };
  });
}

function generation({ object }: GatewayForm): { readonly observedGeneration?: number } {
  const { generation } = object.metadata;
  return generation === undefined ? {} : { observedGeneration: generation };
}
