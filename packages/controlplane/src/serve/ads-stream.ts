import type { WireInput } from '@ambit/common/proto/load';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { DeltaRequest, DeltaResponse } from '@ambit/common/xds/discovery';
import { shortType } from '@ambit/common/xds/type-urls';
import { type CommittedNames, PUBLIC_TYPES, type ResourceStore, SERVED_TYPES } from './resources.ts';

/** Who is at the other end of a stream. */
export interface AdsPeer {
  /** Node id as the client gave it. */
  readonly id: string;
  /** SPIFFE id of the token. */
  readonly identity: string;
  /** `namespace/gateway` of a waypoint; undefined for a client that gets the public types only. */
  readonly audience: string | undefined;
  /** Kubernetes node; workloads there are sent to an on-demand client unasked. */
  readonly node: string;
}

/** One type of one stream, as the status view shows it. */
export interface TypeStatus {
  readonly type: string;
  readonly subscription: 'wildcard' | 'on-demand';
  /** Resources that the client has, as far as was sent. */
  readonly resources: number;
  /** Responses sent, accepted and refused. */
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** A response was sent and is not answered yet. */
  readonly waiting: boolean;
  /** What the client said when it refused last; undefined once it accepted again. */
  readonly lastRefusal: string | undefined;
}

interface TypeState {
  readonly typeUrl: string;
  wildcard: boolean;
  /** Names and addresses that an on-demand client asked for, and the names they mean. */
  readonly names: Set<string>;
  /** Name → version of what the client has. */
  readonly held: Map<string, string>;
  /** Changed since the last response; sent when that is answered. */
  readonly dirty: Set<string>;
  inFlight: string | undefined;
  sent: number;
  acknowledged: number;
  refused: number;
  lastRefusal: string | undefined;
}

interface Answer {
  readonly resources: WireInput<DeltaResponse>['resources'] & readonly unknown[];
  readonly removed: readonly string[];
}

const MAX_NAMES = 100_000;

/**
 * The server's side of one delta ADS stream: what the client asked for, what it has, what it must get.
 *
 *     first request ─► everything it lacks ─► ACK ─► only what changed, one response in flight per type
 */
export class AdsStream {
  readonly peer: AdsPeer;
  readonly #resources: ResourceStore;
  readonly #send: (response: WireInput<DeltaResponse>) => void;
  readonly #log: ScopedLogger;
  readonly #types = new Map<string, TypeState>();
  #nonce = 0;

  constructor(
    peer: AdsPeer,
    resources: ResourceStore,
    send: (response: WireInput<DeltaResponse>) => void,
    log: ScopedLogger,
  ) {
    this.peer = peer;
    this.#resources = resources;
    this.#send = send;
    this.#log = log;
  }

  /** A request of the client: its first for a type, new names, an ACK or a NACK. */
  receive(request: DeltaRequest): void {
    if (!SERVED_TYPES.has(request.typeUrl)) {
      this.#log.warn('type is not served', { peer: this.peer.id, type: request.typeUrl.slice(0, 200) });
      return;
    }
    const state = this.#types.get(request.typeUrl);
    if (state === undefined) {
      this.#open(request);
      return;
    }
    this.#acknowledge(state, request);
    const names = request.resourceNamesSubscribe.filter((name) => name !== '*');
    for (const name of request.resourceNamesUnsubscribe) state.names.delete(name);
    if (request.resourceNamesSubscribe.includes('*') && !request.resourceNamesUnsubscribe.includes('*')) {
      state.wildcard = true;
      this.#respond(state, this.#everything(state));
    } else if (names.length > 0) this.#respond(state, this.#lookUp(state, names));
    else this.#flush(state);
  }

  /** Resources have changed. */
  push(names: CommittedNames): void {
    for (const [typeUrl, changed] of names) {
      const state = this.#types.get(typeUrl);
      if (state === undefined) continue;
      for (const name of changed) if (state.wildcard || this.#concerns(state, name)) state.dirty.add(name);
      this.#flush(state);
    }
  }

  status(): TypeStatus[] {
    return [...this.#types.values()].map((state) => ({
      type: shortType(state.typeUrl),
      subscription: state.wildcard ? 'wildcard' : 'on-demand',
      resources: state.held.size,
      sent: state.sent,
      acknowledged: state.acknowledged,
      refused: state.refused,
      waiting: state.inFlight !== undefined,
      lastRefusal: state.lastRefusal,
    }));
  }

  #open(request: DeltaRequest): void {
    const subscribe = request.resourceNamesSubscribe;
    const star = subscribe.includes('*');
    const state: TypeState = {
      typeUrl: request.typeUrl,
      wildcard: star ? !request.resourceNamesUnsubscribe.includes('*') : subscribe.length === 0,
      names: new Set(),
      held: new Map(Object.entries(request.initialResourceVersions)),
      dirty: new Set(),
      inFlight: undefined,
      sent: 0,
      acknowledged: 0,
      refused: 0,
      lastRefusal: undefined,
    };
    this.#types.set(request.typeUrl, state);
    if (state.wildcard) {
      this.#respond(state, this.#everything(state));
      return;
    }
    const local = PUBLIC_TYPES.has(state.typeUrl) ? this.#resources.directory.onNode(this.peer.node) : [];
    const asked = subscribe.filter((name) => name !== '*');
    this.#respond(state, this.#lookUp(state, [...asked, ...state.held.keys(), ...local]));
  }

  #acknowledge(state: TypeState, request: DeltaRequest): void {
    if (request.responseNonce === '' || request.responseNonce !== state.inFlight) return;
    state.inFlight = undefined;
    if (!request.errorDetail) {
      state.acknowledged += 1;
      state.lastRefusal = undefined;
      return;
    }
    state.refused += 1;
    state.lastRefusal = request.errorDetail.message.slice(0, 2000);
    this.#log.warn('configuration refused by a client', {
      peer: this.peer.id,
      type: shortType(state.typeUrl),
      error: state.lastRefusal,
    });
  }

  /** All that a wildcard client lacks, and what it holds that is no more. */
  #everything(state: TypeState): Answer {
    const resources = [];
    const current = new Set<string>();
    for (const { name } of this.#visible(state.typeUrl)) {
      current.add(name);
      const wire = this.#resource(state, name, false);
      if (wire !== undefined) resources.push(wire);
    }
    const removed = [...state.held.keys()].filter((name) => !current.has(name));
    for (const name of removed) state.held.delete(name);
    state.dirty.clear();
    return { resources, removed };
  }

  /** Answers names and addresses; what they mean is subscribed to from now on. */
  #lookUp(state: TypeState, keys: readonly string[]): Answer {
    const resources = [];
    const removed: string[] = [];
    const { directory } = this.#resources;
    for (const key of keys) {
      if (state.names.size >= MAX_NAMES) {
        this.#log.error('too many names subscribed to', { peer: this.peer.id, limit: MAX_NAMES });
        break;
      }
      state.names.add(key);
      const name = directory.resolve(key) ?? key;
      if (this.#current(state.typeUrl, name) === undefined) {
        state.held.delete(key);
        removed.push(key);
        continue;
      }
      for (const one of directory.expand(name)) {
        state.names.add(one);
        // A name that was asked for is answered even if the client has it: somebody waits.
        const wire = this.#resource(state, one, one === name);
        if (wire !== undefined) resources.push(wire);
      }
    }
    return { resources, removed };
  }

  /** Sends what changed, unless a response is still unanswered. */
  #flush(state: TypeState): void {
    if (state.inFlight !== undefined || state.dirty.size === 0) return;
    const resources = [];
    const removed: string[] = [];
    for (const name of state.dirty) {
      if (this.#current(state.typeUrl, name) === undefined) {
        if (state.held.delete(name)) removed.push(name);
        continue;
      }
      const wire = this.#resource(state, name, false);
      if (wire !== undefined) resources.push(wire);
    }
    state.dirty.clear();
    if (resources.length + removed.length > 0) this.#respond(state, { resources, removed });
  }

  #respond(state: TypeState, { resources, removed }: Answer): void {
    this.#nonce += 1;
    state.inFlight = String(this.#nonce);
    state.sent += 1;
    this.#send({ typeUrl: state.typeUrl, nonce: state.inFlight, resources, removedResources: removed });
    this.#log.debug('configuration sent', {
      peer: this.peer.id,
      type: shortType(state.typeUrl),
      resources: resources.length,
      removed: removed.length,
    });
  }

  /** A resource as it goes out, noted as held; undefined when the client has exactly this and need not get it again. */
  #resource(state: TypeState, name: string, evenIfHeld: boolean): Answer['resources'][number] | undefined {
    const resource = this.#current(state.typeUrl, name);
    if (resource === undefined || (!evenIfHeld && state.held.get(name) === resource.version)) return undefined;
    state.held.set(name, resource.version);
    return {
      name,
      version: resource.version,
      resource: { type_url: state.typeUrl, value: resource.body },
      aliases: state.wildcard ? [] : this.#resources.directory.aliases(name),
    };
  }

  /** Must an on-demand client hear of this name? It asked for it, for one of its addresses or for its service, or it is on its node. */
  #concerns(state: TypeState, name: string): boolean {
    const { directory } = this.#resources;
    const concerned =
      state.names.has(name) ||
      directory.aliases(name).some((alias) => state.names.has(alias)) ||
      directory.servicesOf(name).some((key) => state.names.has(key)) ||
      directory.nodeOf(name) === this.peer.node;
    if (concerned) state.names.add(name);
    return concerned;
  }

  #current(typeUrl: string, name: string): ReturnType<ResourceStore['get']> {
    return PUBLIC_TYPES.has(typeUrl) || this.peer.audience !== undefined
      ? this.#resources.get(typeUrl, this.peer.audience ?? '', name)
      : undefined;
  }

  #visible(typeUrl: string): ReturnType<ResourceStore['all']> {
    return PUBLIC_TYPES.has(typeUrl) || this.peer.audience !== undefined
      ? this.#resources.all(typeUrl, this.peer.audience ?? '')
      : [];
  }
}
