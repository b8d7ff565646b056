import { decodeAddress } from '@ambit/common/codec/address';
import { decodeAuthorization } from '@ambit/common/codec/authorization';
import { asMeshError } from '@ambit/common/errors';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { AdsType, ReceivedResource, Rejection } from '@ambit/common/xds/ads-client';
import { ADDRESS, AUTHORIZATION } from '@ambit/common/xds/type-urls';

/** Counts a response. */
export type MessageObserver = (typeUrl: string, bytes: number) => void;

/** The types that feed the store; a resource that does not decode is refused alone. */
export function meshTypes(store: MeshStore, onDemand: boolean, observe: MessageObserver): readonly AdsType[] {
  return [
    {
      typeUrl: ADDRESS,
      onDemand,
      onUpdate: (resources, removed) => {
        const { accepted, rejected } = decodeAll(resources, decodeAddress);
        observe(ADDRESS, sizeOf(resources));
        store.applyAddresses(accepted, removed);
        return rejected;
      },
    },
    {
      typeUrl: AUTHORIZATION,
      onUpdate: (resources, removed) => {
        const { accepted, rejected } = decodeAll(resources, decodeAuthorization);
        observe(AUTHORIZATION, sizeOf(resources));
        store.applyPolicies(accepted, removed);
        return rejected;
      },
    },
  ];
}

function decodeAll<T>(
  resources: readonly ReceivedResource[],
  decode: (bytes: Uint8Array) => T,
): { accepted: T[]; rejected: Rejection[] } {
  const accepted: T[] = [];
  const rejected: Rejection[] = [];
  for (const { name, body } of resources) {
    try {
      accepted.push(decode(body));
    } catch (error) {
      rejected.push({ name, reason: asMeshError(error).message });
    }
  }
  return { accepted, rejected };
}

const sizeOf = (resources: readonly ReceivedResource[]): number =>
  resources.reduce((sum, resource) => sum + resource.body.length, 0);
