import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { KubeObject } from './collections/object.ts';
import type { ObjectStore } from './collections/object-store.ts';
import { podSpec } from './files/schema/pod.ts';
import { read } from './files/schema/schema.ts';
import type { Caller } from './serve/authenticate.ts';

/** Who may call, and for whom, judged by the pods that exist now. */
export class Access {
  readonly #store: ObjectStore;
  readonly #nodeAccounts: ReadonlySet<string>;
  readonly #nodeName: string;

  constructor(store: ObjectStore, nodeAccounts: readonly string[], nodeName: string) {
    this.#store = store;
    this.#nodeAccounts = new Set(nodeAccounts);
    this.#nodeName = nodeName;
  }

  /** A token is good as long as its pod exists under the same uid; node agents need not be pods of this store. */
  admit(caller: Caller | undefined): Caller | undefined {
    if (caller === undefined) return undefined;
    const { namespace, serviceAccount } = caller.identity;
    if (this.#nodeAccounts.has(`${namespace}/${serviceAccount}`)) return caller;
    const pod = this.#store.get('Pod', namespace, caller.podName);
    return pod?.metadata.uid === caller.podUid ? caller : undefined;
  }

  /** At least one pod of that account must live on the caller's node and not have failed. */
  mayImpersonate(caller: Caller, identity: SpiffeId): boolean {
    const node = this.#nodeOf(this.#store.get('Pod', caller.identity.namespace, caller.podName));
    return Array.from(this.#store.list('Pod')).some(
      (pod) =>
        pod.metadata.namespace === identity.namespace &&
        pod.status?.['phase'] !== 'Failed' &&
        accountOf(pod) === identity.serviceAccount &&
        this.#nodeOf(pod) === node,
    );
  }

  /** Only the pods of a Gateway get its configuration. */
  servesGateway(caller: Caller, gateway: string): boolean {
    const pod = this.#store.get('Pod', caller.identity.namespace, caller.podName);
    return pod?.metadata.labels?.['gateway.networking.k8s.io/gateway-name'] === gateway;
  }

  #nodeOf(pod: KubeObject | undefined): string {
    return (pod === undefined ? undefined : read(podSpec, pod.spec)?.nodeName) ?? this.#nodeName;
  }
}

function accountOf(pod: KubeObject): string {
  const spec = read(podSpec, pod.spec);
  return spec?.serviceAccountName ?? spec?.serviceAccount ?? 'default';
}
