import { createHash } from 'node:crypto';
import { encodeService, encodeWorkload } from '@ambit/common/codec/address';
import { encodeAuthorization } from '@ambit/common/codec/authorization';
import { encodeBackend } from '@ambit/common/codec/backend';
import { encodeCredential } from '@ambit/common/codec/credential';
import { encodeListener } from '@ambit/common/codec/listener';
import { encodePolicy } from '@ambit/common/codec/policy';
import { encodeProxySettings } from '@ambit/common/codec/proxy-settings';
import type { Backend, Credential } from '@ambit/common/model/backend';
import type { Listener, ProxySettings } from '@ambit/common/model/listener';
import type { Policy } from '@ambit/common/model/policy';
import type { Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import {
  ADDRESS,
  AUTHORIZATION,
  L7_BACKEND,
  L7_CREDENTIAL,
  L7_LISTENER,
  L7_POLICY,
  L7_PROXY,
} from '@ambit/common/xds/type-urls';
import { AddressDirectory } from './address-directory.ts';

/** What can be served, by kind. */
export interface ResourceModels {
  readonly workload: Workload;
  readonly service: Service;
  readonly authorization: Policy;
  readonly listener: Listener;
  readonly backend: Backend;
  readonly policy: Policy;
  readonly credential: Credential;
  readonly proxy: ProxySettings;
}

export type ResourceKind = keyof ResourceModels;

type Encoders = { readonly [K in ResourceKind]: (value: ResourceModels[K]) => Uint8Array };

const ENCODERS: Encoders = {
  workload: encodeWorkload,
  service: encodeService,
  authorization: encodeAuthorization,
  listener: encodeListener,
  backend: encodeBackend,
  policy: encodePolicy,
  credential: encodeCredential,
  proxy: encodeProxySettings,
};

const TYPE_URLS: Readonly<Record<ResourceKind, string>> = {
  workload: ADDRESS,
  service: ADDRESS,
  authorization: AUTHORIZATION,
  listener: L7_LISTENER,
  backend: L7_BACKEND,
  policy: L7_POLICY,
  credential: L7_CREDENTIAL,
  proxy: L7_PROXY,
};

/** What every authenticated client may have; the rest is only for the waypoint it is meant for. */
export const PUBLIC_TYPES: ReadonlySet<string> = new Set([ADDRESS, AUTHORIZATION]);
export const SERVED_TYPES: ReadonlySet<string> = new Set(Object.values(TYPE_URLS));

/** One resource as it goes out. */
export interface ServedResource {
  readonly name: string;
  /** Hash of the bytes: the same on every replica and after every restart. */
  readonly version: string;
  readonly body: Uint8Array;
  /** `namespace/gateway` of the only waypoint that may have it; '' for the public types. */
  readonly audience: string;
}

/** Names that one commit touched, by type. */
export type CommittedNames = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * Everything that is served, encoded. Changes are gathered until commit(), which tells the listeners what really differs:
 * setting equal content is no change.
 *
 *     typeUrl → audience → name → ServedResource
 */
export class ResourceStore {
  readonly #types = new Map<string, Map<string, Map<string, ServedResource>>>();
  readonly #directory = new AddressDirectory();
  readonly #listeners = new Set<(names: CommittedNames) => void>();
  #pending = new Map<string, Set<string>>();

  /** @param audience `namespace/gateway`; without one, a resource of an L7 kind reaches nobody. */
  set<K extends ResourceKind>(kind: K, name: string, value: ResourceModels[K], audience = ''): void {
    const typeUrl = TYPE_URLS[kind];
    const body = ENCODERS[kind](value);
    const version = createHash('sha256').update(body).digest('hex').slice(0, 16);
    const resources = this.#resources(typeUrl, audience);
    if (resources.get(name)?.version === version) return;
    resources.set(name, Object.freeze({ name, version, body, audience }));
    if (kind === 'workload' || kind === 'service') this.#directory.set(name, value);
    this.#touch(typeUrl, name);
  }

  /** Removes a resource for one audience, or for all when none is named. */
  delete(kind: ResourceKind, name: string, audience?: string): void {
    const typeUrl = TYPE_URLS[kind];
    for (const [one, resources] of this.#types.get(typeUrl) ?? []) {
      if (audience !== undefined && one !== audience) continue;
      if (!resources.delete(name)) continue;
      if (typeUrl === ADDRESS) this.#directory.delete(name);
      this.#touch(typeUrl, name);
    }
  }

  /** Makes what was set and deleted since the last commit known to the listeners. */
  commit(): void {
    if (this.#pending.size === 0) return;
    const names = this.#pending;
    this.#pending = new Map();
    for (const listener of this.#listeners) listener(names);
  }

  /** @returns the function that ends the subscription. */
  onCommit(listener: (names: CommittedNames) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A resource as this audience may see it. */
  get(typeUrl: string, audience: string, name: string): ServedResource | undefined {
    return this.#types.get(typeUrl)?.get(visible(typeUrl, audience))?.get(name);
  }

  /** All resources of a type that this audience may see. */
  all(typeUrl: string, audience: string): Iterable<ServedResource> {
    return this.#types.get(typeUrl)?.get(visible(typeUrl, audience))?.values() ?? [];
  }

  /** Who owns an address, who belongs to a service: for on-demand clients. */
  get directory(): AddressDirectory {
    return this.#directory;
  }

  #resources(typeUrl: string, audience: string): Map<string, ServedResource> {
    let audiences = this.#types.get(typeUrl);
    if (audiences === undefined) this.#types.set(typeUrl, (audiences = new Map()));
    const key = visible(typeUrl, audience);
    let resources = audiences.get(key);
    if (resources === undefined) audiences.set(key, (resources = new Map()));
    return resources;
  }

  #touch(typeUrl: string, name: string): void {
    const names = this.#pending.get(typeUrl);
    if (names === undefined) this.#pending.set(typeUrl, new Set([name]));
    else names.add(name);
  }
}

const visible = (typeUrl: string, audience: string): string => (PUBLIC_TYPES.has(typeUrl) ? '' : audience);
