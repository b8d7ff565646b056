import type { IpAddress } from '@ambit/common/address/ip';
import { decodeBackend } from '@ambit/common/codec/backend';
import { decodeCredential } from '@ambit/common/codec/credential';
import { decodeListener } from '@ambit/common/codec/listener';
import { decodePolicy } from '@ambit/common/codec/policy';
import { decodeProxySettings } from '@ambit/common/codec/proxy-settings';
import { decodeEach } from '@ambit/common/mesh/ads-types';
import type { Backend, Credential } from '@ambit/common/model/backend';
import type { Listener, ProxySettings } from '@ambit/common/model/listener';
import { type Policy, policyKey } from '@ambit/common/model/policy';
import { serviceKey } from '@ambit/common/model/service';
import type { AdsType } from '@ambit/common/xds/ads-client';
import { L7_BACKEND, L7_CREDENTIAL, L7_LISTENER, L7_POLICY, L7_PROXY } from '@ambit/common/xds/type-urls';
import { PolicyTable } from './authorize/policy-table.ts';
import type { ListenerLookup } from './capture/destination.ts';
import { ListenerAddresses } from './capture/listener-addresses.ts';

/** What the control plane has told this waypoint to serve, by name; entries are replaced whole, in one turn. */
export class L7Tables implements ListenerLookup {
  readonly policies: PolicyTable = new PolicyTable();
  readonly #listeners = new Map<string, Listener>();
  readonly #backends = new Map<string, Backend>();
  readonly #policies = new Map<string, Policy>();
  readonly #credentials = new Map<string, Credential>();
  readonly #settings = new Map<string, ProxySettings>();
  readonly #defaults: ProxySettings;
  readonly #onPolicies: () => void;
  #addresses = new ListenerAddresses([]);

  /** @param defaults counts until the control plane has sent settings. @param onPolicies called after every change of policies. */
  constructor(defaults: ProxySettings, onPolicies: () => void) {
    this.#defaults = defaults;
    this.#onPolicies = onPolicies;
  }

  byAddress(network: string, ip: IpAddress): Listener | undefined {
    return this.#addresses.find(network, ip);
  }

  backend(name: string): Backend | undefined {
    return this.#backends.get(name);
  }

  credential(name: string): Credential | undefined {
    return this.#credentials.get(name);
  }

  get settings(): ProxySettings {
    for (const settings of this.#settings.values()) return settings;
    return this.#defaults;
  }

  /** Everything but key material, for the dump. */
  dump(): Readonly<Record<string, unknown>> {
    return {
      settings: this.settings,
      listeners: [...this.#listeners.values()],
      backends: [...this.#backends.values()],
      policies: [...this.#policies.values()],
      credentials: [...this.#credentials.keys()],
    };
  }

  /** The subscriptions that feed these tables. What cannot be decoded is rejected and its last good version stays. */
  types(): readonly AdsType[] {
    return [
      table(L7_PROXY, this.#settings, decodeProxySettings, ({ namespace, name }) => `${namespace}/${name}`),
      table(L7_CREDENTIAL, this.#credentials, decodeCredential, ({ namespace, name }) => `${namespace}/${name}`),
      table(L7_BACKEND, this.#backends, decodeBackend, ({ namespace, hostname }) => serviceKey(namespace, hostname)),
      table(L7_POLICY, this.#policies, decodePolicy, policyKey, () => this.#indexPolicies()),
      table(
        L7_LISTENER,
        this.#listeners,
        decodeListener,
        ({ namespace, hostname }) => serviceKey(namespace, hostname),
        () => void (this.#addresses = new ListenerAddresses(this.#listeners.values())),
      ),
    ];
  }

  #indexPolicies(): void {
    this.policies.replace(this.#policies.values());
    this.#onPolicies();
  }
}

// oxlint-disable-next-line max-params -- one row of the list above
function table<T>(
  typeUrl: string,
  entries: Map<string, T>,
  decode: (body: Uint8Array) => T,
  keyOf: (value: T) => string,
  changed: () => void = () => undefined,
): AdsType {
  /** Resource name → key of what it holds, as removals come by resource name. */
  const keys = new Map<string, string>();
  const remove = (name: string): void => {
    entries.delete(keys.get(name) ?? name);
    keys.delete(name);
  };
  return {
    typeUrl,
    onUpdate: (resources, removed) => {
      const { good, bad } = decodeEach(resources, decode);
      for (const name of removed) remove(name);
      for (const { name, value } of good) {
        remove(name);
        keys.set(name, keyOf(value));
        entries.set(keyOf(value), value);
      }
      changed();
      return bad;
    },
  };
}
