import { isDeepStrictEqual } from 'node:util';
import { asMeshError } from '@ambit/common/errors';
import { policyKey } from '@ambit/common/model/policy';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { Audience } from './derive/audience.ts';
import type { Mesh } from './derive/mesh.ts';
import type { ResourceKind, ResourceModels, ResourceStore } from './serve/resources.ts';

/** What this publisher needs of the served resources. */
export type ResourceSink = Pick<ResourceStore, 'set' | 'delete' | 'commit'>;

type Entries<K extends ResourceKind> = Iterable<readonly [name: string, value: ResourceModels[K], audience: string]>;

/** Brings the served resources to each new mesh; what did not change is not encoded again. */
export class Publisher {
  readonly #sink: ResourceSink;
  readonly #log: ScopedLogger;
  readonly #served = new Map<ResourceKind, Map<string, Served>>();

  constructor(sink: ResourceSink, log: ScopedLogger) {
    this.#sink = sink;
    this.#log = log;
  }

  publish(mesh: Mesh): void {
    this.#replace(
      'workload',
      [...mesh.workloads].map(([name, value]) => [name, value, '']),
    );
    this.#replace(
      'service',
      [...mesh.services].map(([name, value]) => [name, value, '']),
    );
    this.#replace(
      'authorization',
      mesh.authorizations.map((value) => [policyKey(value), value, '']),
    );
    // Policies and keys come before the listeners that need them.
    this.#replace('proxy', forAudience(mesh.proxies));
    this.#replace('credential', forAudience(mesh.credentials));
    this.#replace('policy', forAudience(mesh.policies));
    this.#replace('backend', forAudience(mesh.backends));
    this.#replace('listener', forAudience(mesh.listeners));
    this.#sink.commit();
  }

  #replace<K extends ResourceKind>(kind: K, entries: Entries<K>): void {
    const before = this.#served.get(kind) ?? new Map<string, Served>();
    const next = new Map<string, Served>();
    for (const [name, value, audience] of entries) {
      const key = `${audience} ${name}`;
      const known = before.get(key);
      next.set(key, { name, value, audience });
      if (known !== undefined && (known.value === value || isDeepStrictEqual(known.value, value))) continue;
      try {
        this.#sink.set(kind, name, value, audience);
      } catch (error) {
        this.#log.error('resource not served; its last good version stays', {
          kind,
          name,
          error: asMeshError(error).message,
        });
      }
    }
    for (const [key, { name, audience }] of before) if (!next.has(key)) this.#sink.delete(kind, name, audience);
    this.#served.set(kind, next);
  }
}

interface Served {
  readonly name: string;
  readonly value: unknown;
  readonly audience: string;
}

const forAudience = <T>(list: readonly Audience<T>[]): (readonly [string, T, string])[] =>
  list.map(({ name, value, waypoint }) => [name, value, waypoint] as const);
