import { isDeepStrictEqual } from 'node:util';
import { asMeshError } from '@ambit/common/errors';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { type KubeObject, objectKey } from '../collections/object.ts';
import type { ObjectStore } from '../collections/object-store.ts';
import type { ObjectWriter } from '../collections/object-writer.ts';
import type { Inputs } from '../derive/inputs.ts';
import { BUILT_IN_CLASSES, gatewayClassObject } from './gateway-class.ts';
import { rootCertificateConfigMap, wantsRootCertificate } from './root-certificate.ts';
import { isProvisioned, renderWaypoint } from './waypoint.ts';
import type { WaypointProgram } from './waypoint-pod.ts';

export interface ProvisionerOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  readonly program: Omit<WaypointProgram, 'trustDomain' | 'clusterId' | 'network'>;
  /** PEM of all trust anchors. */
  readonly rootCertificates: () => string;
  readonly log: ScopedLogger;
}

const MANAGED = 'gateway.istio.io/managed';
const FIELD_MANAGER = 'istio.io/mesh-controller';

/**
 * Makes the objects that Gateways, classes and namespaces call for, and removes those whose Gateway is gone. Driven by
 * state, not by events: run after every change, it writes only what differs from what it wrote before.
 */
export class Provisioner {
  readonly #options: ProvisionerOptions;
  /** What was last applied, by key: an admission step may complete it, which is no difference. */
  readonly #applied = new Map<string, KubeObject>();

  constructor(options: ProvisionerOptions) {
    this.#options = options;
  }

  async reconcile(inputs: Inputs): Promise<void> {
    const wanted = this.#wanted(inputs);
    for (const object of wanted.values()) await this.#apply(object);
    for (const kind of ['Deployment', 'Service', 'ServiceAccount'])
      for (const object of Array.from(this.#options.store.list(kind)))
        if (this.#isOrphan(object, wanted)) await this.#remove(object);
  }

  #wanted(inputs: Inputs): ReadonlyMap<string, KubeObject> {
    const { program, rootCertificates } = this.#options;
    const full = {
      ...program,
      trustDomain: inputs.mesh.trustDomain,
      clusterId: inputs.clusterId,
      network: inputs.network,
    };
    const roots = rootCertificates();
    const objects = [
      ...BUILT_IN_CLASSES.map(gatewayClassObject),
      ...[...inputs.namespaces.keys()].filter(wantsRootCertificate).map((one) => rootCertificateConfigMap(one, roots)),
      ...inputs.gateways.filter(isProvisioned).flatMap((gateway) => renderWaypoint(gateway, full)),
    ];
    return new Map(objects.map((object) => [keyOf(object), object]));
  }

  async #apply(object: KubeObject): Promise<void> {
    const key = keyOf(object);
    const { kind, metadata } = object;
    const exists = this.#options.store.get(kind, metadata.namespace, metadata.name) !== undefined;
    if (exists && isDeepStrictEqual(this.#applied.get(key), object)) return;
    try {
      await this.#options.writer.apply(object, FIELD_MANAGER);
      this.#applied.set(key, object);
      this.#options.log.debug('object applied', { kind, namespace: metadata.namespace, name: metadata.name });
    } catch (error) {
      this.#options.log.error('object refused', { object: key, error: asMeshError(error).message });
    }
  }

  /** Made for a Gateway that is gone, or that now calls its objects otherwise. */
  #isOrphan(object: KubeObject, wanted: ReadonlyMap<string, KubeObject>): boolean {
    const owner = object.metadata.ownerReferences?.find((one) => one.kind === 'Gateway');
    return owner !== undefined && object.metadata.labels?.[MANAGED] !== undefined && !wanted.has(keyOf(object));
  }

  async #remove(object: KubeObject): Promise<void> {
    const { kind, metadata } = object;
    this.#applied.delete(keyOf(object));
    try {
      await this.#options.writer.delete(kind, metadata.namespace, metadata.name);
      this.#options.log.info('object of a removed gateway deleted', {
        kind,
        namespace: metadata.namespace,
        name: metadata.name,
      });
    } catch (error) {
      this.#options.log.error('object not deleted', { object: keyOf(object), error: asMeshError(error).message });
    }
  }
}

const keyOf = ({ kind, metadata }: KubeObject): string => objectKey(kind, metadata.namespace, metadata.name);
