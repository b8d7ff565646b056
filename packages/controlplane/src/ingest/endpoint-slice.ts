import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import type { KubeObject } from '../collections/object.ts';
import { endpoint, endpointPort } from '../files/schema/core.ts';
import { list, read } from '../files/schema/schema.ts';
import { memoized } from './memoized.ts';

export interface EndpointSliceForm {
  readonly namespace: string;
  readonly name: string;
  readonly service: string;
  /** TCP ports by name; '' for an unnamed one. */
  readonly ports: ReadonlyMap<string, number>;
  /** Endpoints that are pods, by uid and by `namespace/name`. */
  readonly pods: readonly { readonly namespace: string; readonly name: string; readonly uid: string | undefined }[];
  readonly addresses: readonly { readonly addresses: readonly IpAddress[]; readonly ready: boolean }[];
}

/** Undefined for a slice of no service, and for one of host names. */
export const ingestEndpointSlice: (slice: KubeObject) => EndpointSliceForm | undefined = memoized((slice) => {
  const { metadata } = slice;
  const service = metadata.labels?.['kubernetes.io/service-name'];
  const endpoints = read(list(endpoint), slice.endpoints ?? []);
  const ports = read(list(endpointPort), slice.ports ?? []);
  if (service === undefined || slice.addressType === 'FQDN' || endpoints === undefined || ports === undefined)
    return undefined;
  const namespace = metadata.namespace ?? 'default';
  return {
    namespace,
    name: metadata.name,
    service,
    ports: new Map(
      ports.flatMap(({ name, port, protocol }) =>
        name === undefined || port === undefined || protocol !== 'TCP' ? [] : [[name, port] as const],
      ),
    ),
    pods: endpoints.flatMap(({ targetRef }) =>
      targetRef?.kind === 'Pod' && targetRef.name !== undefined
        ? [{ namespace: targetRef.namespace ?? namespace, name: targetRef.name, uid: targetRef.uid }]
        : [],
    ),
    addresses: endpoints
      .filter(({ targetRef }) => targetRef?.kind !== 'Pod')
      .flatMap(({ addresses, conditions }) => {
        const parsed = addresses.map(parseIp);
        const known = parsed.filter((ip) => ip !== undefined);
        return known.length === parsed.length ? [{ addresses: known, ready: conditions?.ready ?? true }] : [];
      }),
  };
});
