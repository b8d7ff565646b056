import type { WireInput } from '../proto/load.ts';
import type { DeltaRequest, DeltaResponse } from './discovery.ts';

/** One resource as it came. */
export interface ReceivedResource {
  readonly name: string;
  readonly version: string;
  readonly body: Uint8Array;
}

/** A resource that could not be used, and why. */
export interface Rejection {
  readonly name: string;
  readonly reason: string;
}

/** One type on the stream. */
export interface AdsType {
  readonly typeUrl: string;
  /** Subscribe to nothing at first, and to names as they are demanded. */
  readonly onDemand?: boolean;
  /** Applies one response, good resources also when others are bad; returns the bad ones. The previous value of a bad one stays. */
  onUpdate(resources: readonly ReceivedResource[], removed: readonly string[]): readonly Rejection[];
}

/**
 * What is known about one type across streams: names and versions held, names that somebody waits for.
 *
 *     first request ─► response ─► apply ─► ACK, or NACK with the rejects
 *     demand(name)  ─► subscribe, resolved by the response that names it
 */
export class Subscription {
  readonly type: AdsType;
  /** Resource name → version; an empty version for a name that was demanded only. */
  readonly #retained = new Map<string, string>();
  readonly #waiting = new Map<string, { readonly promise: Promise<void>; readonly resolve: () => void }>();
  #acknowledged = false;

  constructor(type: AdsType) {
    this.type = type;
  }

  /** True once a response was accepted whole. */
  get acknowledged(): boolean {
    return this.#acknowledged;
  }

  /** The first request of a stream: a wildcard, or what was demanded so far; with the versions held. */
  firstRequest(): WireInput<DeltaRequest> {
    const nothingYet = this.type.onDemand === true ? ['*'] : [];
    return {
      typeUrl: this.type.typeUrl,
      resourceNamesSubscribe: nothingYet,
      resourceNamesUnsubscribe: nothingYet,
      initialResourceVersions: Object.fromEntries(this.#retained),
    };
  }

  /** Applies a response and wakes those who waited for its names. @returns the ACK or NACK. */
  receive(response: DeltaResponse): WireInput<DeltaRequest> {
    const rejections = this.#apply(response);
    if (rejections.length === 0) this.#acknowledged = true;
    for (const resource of response.resources) this.#wake([resource.name, ...resource.aliases]);
    this.#wake(response.removedResources);
    const acknowledgement = { typeUrl: response.typeUrl, responseNonce: response.nonce };
    if (rejections.length === 0) return acknowledgement;
    const message = rejections.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
    return { ...acknowledgement, errorDetail: { message } };
  }

  /** Resolves when a response names the resource, one way or the other; `request` is what has to be sent, if anything. */
  demand(name: string): { readonly arrived: Promise<void>; readonly request: WireInput<DeltaRequest> | undefined } {
    const pending = this.#waiting.get(name);
    if (pending !== undefined) return { arrived: pending.promise, request: undefined };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(name, { promise, resolve });
    if (!this.#retained.has(name)) this.#retained.set(name, '');
    return { arrived: promise, request: { typeUrl: this.type.typeUrl, resourceNamesSubscribe: [name] } };
  }

  #apply(response: DeltaResponse): readonly Rejection[] {
    const resources: ReceivedResource[] = [];
    const rejections: Rejection[] = [];
    for (const { name, version, resource } of response.resources) {
      if (resource) resources.push({ name, version, body: resource.value });
      else rejections.push({ name, reason: 'resource has no body' });
    }
    rejections.push(...this.#update(resources, response.removedResources));
    const bad = new Set(rejections.map(({ name }) => name));
    for (const { name, version } of resources) if (!bad.has(name)) this.#retained.set(name, version);
    for (const name of response.removedResources) this.#retained.delete(name);
    return rejections;
  }

  /** A program that throws here has a bug; the stream goes on and the server hears of it. */
  #update(resources: readonly ReceivedResource[], removed: readonly string[]): readonly Rejection[] {
    try {
      return this.type.onUpdate(resources, removed);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return resources.map(({ name }) => ({ name, reason }));
    }
  }

  #wake(names: readonly string[]): void {
    for (const name of names) {
      this.#waiting.get(name)?.resolve();
      this.#waiting.delete(name);
    }
  }
}
