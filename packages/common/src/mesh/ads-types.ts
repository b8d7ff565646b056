import { type AddressResource, decodeAddress } from '../codec/address.ts';
import { decodeAuthorization } from '../codec/authorization.ts';
import { asMeshError } from '../errors.ts';
import type { AdsType, ReceivedResource, Rejection } from '../xds/subscription.ts';
import { ADDRESS, AUTHORIZATION } from '../xds/type-urls.ts';
import type { MeshStore } from './store.ts';

/** The two types of WDS, in the order of Istio's agent, feeding a store. */
export function meshTypes(store: MeshStore, onDemand = false): readonly AdsType[] {
  return [
    {
      typeUrl: ADDRESS,
      onDemand,
      onUpdate: (resources, removed) => {
        const { good, bad } = decodeEach(resources, decodeAddress);
        store.applyAddresses(
          good.map((one): AddressResource => one.value),
          removed,
        );
        return bad;
      },
    },
    {
      typeUrl: AUTHORIZATION,
      onUpdate: (resources, removed) => {
        const { good, bad } = decodeEach(resources, decodeAuthorization);
        store.applyPolicies(
          good.map((one) => one.value),
          removed,
        );
        return bad;
      },
    },
  ];
}

/** Decodes one by one: a resource that cannot be read is a rejection and does not hold up the others. */
export function decodeEach<T>(
  resources: readonly ReceivedResource[],
  decode: (body: Uint8Array) => T,
): { readonly good: readonly { readonly name: string; readonly value: T }[]; readonly bad: readonly Rejection[] } {
  const good: { name: string; value: T }[] = [];
  const bad: Rejection[] = [];
  for (const { name, body } of resources) {
    try {
      good.push({ name, value: decode(body) });
    } catch (error) {
      bad.push({ name, reason: asMeshError(error, 'CONFIG').message });
    }
  }
  return { good, bad };
}
