import { setTimeout as delay } from 'node:timers/promises';
import { Client, type ClientDuplexStream, type StatusObject, status } from '@grpc/grpc-js';
import { asMeshError } from '../errors.ts';
import type { WireInput } from '../proto/load.ts';
import { type JsonObject, toStruct } from '../proto/struct.ts';
import type { ScopedLogger } from '../telemetry/log.ts';
import { DELTA_METHOD, DELTA_REQUEST, DELTA_RESPONSE, type DeltaRequest, type DeltaResponse } from './discovery.ts';
import { ReconnectPolicy, type StreamOutcome, type Termination } from './reconnect.ts';
import { type ControlPlaneAddress, type ControlPlaneAuth, authMetadata, secureChannel } from './secure-channel.ts';
import { type AdsType, Subscription } from './subscription.ts';
import { shortType } from './type-urls.ts';

export type { AdsType, ReceivedResource, Rejection } from './subscription.ts';

export interface AdsOptions extends ControlPlaneAddress, ControlPlaneAuth {
  readonly node: { readonly id: string; readonly metadata: JsonObject };
  /** In the order in which they are asked for. */
  readonly types: readonly AdsType[];
  readonly signal: AbortSignal;
  readonly log: ScopedLogger;
  /** Counts the end of each stream (`xds_connection_terminations`). */
  readonly onTermination?: (reason: Termination) => void;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface AdsClient {
  /** Resolves when every wildcard type was accepted once: the state is usable from then on. Stays pending if that never happens. */
  readonly synced: Promise<void>;
  /** Resolves when the server has said what it knows about a name of an on-demand type. */
  demand(typeUrl: string, name: string): Promise<void>;
  readonly connected: boolean;
  /** Why the last stream ended; undefined before that and while connected. */
  readonly lastError: string | undefined;
}

type Stream = ClientDuplexStream<WireInput<DeltaRequest>, DeltaResponse>;

/** Keeps a delta ADS stream open until the signal aborts. What was received is never forgotten because a stream ends. */
export function startAdsClient(options: AdsOptions): AdsClient {
  const client = new DeltaClient(options);
  void client.run();
  return client;
}

class DeltaClient implements AdsClient {
  readonly synced: Promise<void>;
  readonly #options: AdsOptions;
  readonly #subscriptions: ReadonlyMap<string, Subscription>;
  readonly #policy = new ReconnectPolicy();
  readonly #openGate: () => void;
  /** Writes wait in it until it is connected. */
  #stream: Stream | undefined;
  #connected = false;
  #lastError: string | undefined;

  constructor(options: AdsOptions) {
    this.#options = options;
    this.#subscriptions = new Map(options.types.map((type) => [type.typeUrl, new Subscription(type)]));
    const gate = Promise.withResolvers<void>();
    this.synced = gate.promise;
    this.#openGate = gate.resolve;
  }

  get connected(): boolean {
    return this.#connected;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  demand(typeUrl: string, name: string): Promise<void> {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined) return Promise.reject(new Error(`${typeUrl} is not subscribed to`));
    const { arrived, request } = subscription.demand(name);
    if (request !== undefined) this.#stream?.write(request);
    return arrived;
  }

  /** One stream after another. */
  async run(): Promise<void> {
    const { signal, log, onTermination, sleep = pause } = this.#options;
    while (!signal.aborted) {
      const outcome = await this.#once();
      if (signal.aborted) return;
      const { delayMs, reason } = this.#policy.after(outcome);
      onTermination?.(reason);
      this.#lastError = outcome.details || status[outcome.code] || String(outcome.code);
      const fields = { reason, code: outcome.code, error: outcome.details, retry_ms: delayMs };
      if (reason === 'Complete' || reason === 'Reconnect') log.info('stream to the control plane ended', fields);
      else log.warn('no stream to the control plane', fields);
      await sleep(delayMs, signal);
    }
  }

  /** One stream from start to end; never rejects. */
  async #once(): Promise<StreamOutcome> {
    let client: Client;
    let stream: Stream;
    try {
      const channel = secureChannel(this.#options);
      const metadata = authMetadata(this.#options);
      client = new Client(channel.target, channel.credentials, channel.options);
      stream = client.makeBidiStreamRequest(DELTA_METHOD, serialize, deserialize, metadata);
    } catch (error) {
      return { opened: false, code: status.UNAVAILABLE, details: asMeshError(error).message };
    }
    const abort = (): void => stream.cancel();
    this.#options.signal.addEventListener('abort', abort, { once: true });
    try {
      return await this.#converse(stream);
    } finally {
      this.#options.signal.removeEventListener('abort', abort);
      this.#stream = undefined;
      this.#connected = false;
      client.close();
    }
  }

  #converse(stream: Stream): Promise<StreamOutcome> {
    const { node, log } = this.#options;
    return new Promise((resolve) => {
      let opened = false;
      stream.on('metadata', () => {
        opened = true;
        this.#connected = true;
        this.#lastError = undefined;
        log.info('stream to the control plane established');
      });
      stream.on('data', (response: DeltaResponse) => stream.write(this.#receive(response)));
      // The status event follows and says more.
      stream.on('error', () => undefined);
      stream.on('status', ({ code, details }: StatusObject) => resolve({ opened, code, details }));
      const wireNode = { id: node.id, metadata: toStruct(node.metadata) };
      for (const subscription of this.#subscriptions.values()) {
        stream.write({ ...subscription.firstRequest(), node: wireNode });
      }
      this.#stream = stream;
    });
  }

  #receive(response: DeltaResponse): WireInput<DeltaRequest> {
    const { log } = this.#options;
    const subscription = this.#subscriptions.get(response.typeUrl);
    const fields = {
      type: shortType(response.typeUrl),
      resources: response.resources.length,
      removed: response.removedResources.length,
    };
    if (subscription === undefined) {
      log.error('response of a type that was not asked for', fields);
      return { typeUrl: response.typeUrl, responseNonce: response.nonce };
    }
    const request = subscription.receive(response);
    if (request.errorDetail)
      log.error('configuration refused', { ...fields, error: request.errorDetail.message ?? undefined });
    else log.debug('configuration received', fields);
    if (this.#gateReached()) this.#openGate();
    return request;
  }

  #gateReached(): boolean {
    for (const { type, acknowledged } of this.#subscriptions.values()) {
      if (type.onDemand !== true && !acknowledged) return false;
    }
    return true;
  }
}

const serialize = (request: WireInput<DeltaRequest>): Buffer => Buffer.from(DELTA_REQUEST.encode(request));
const deserialize = (bytes: Buffer): DeltaResponse => DELTA_RESPONSE.decode(bytes);

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch {
    // AbortError: the caller looks at the signal
  }
}
