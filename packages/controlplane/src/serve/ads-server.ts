import { Metadata, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { asMeshError } from '@ambit/common/errors';
import type { WireInput } from '@ambit/common/proto/load';
import { fromStruct } from '@ambit/common/proto/struct';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { DeltaRequest, DeltaResponse } from '@ambit/common/xds/discovery';
import { type AdsPeer, AdsStream, type TypeStatus } from './ads-stream.ts';
import { type Authenticate, type Caller, GrpcRefusal, authenticateCall } from './authenticate.ts';
import { PushDebounce, type PushOptions } from './push.ts';
import type { ResourceStore } from './resources.ts';

export interface AdsServerOptions {
  readonly resources: ResourceStore;
  readonly authenticate: Authenticate;
  /**
   * May this caller have what is meant for the waypoint `gateway` of its own namespace? Every caller of the namespace may
   * when absent.
   */
  readonly servesGateway?: ((caller: Caller, gateway: string) => boolean) | undefined;
  readonly push: PushOptions;
  readonly log: ScopedLogger;
}

/** One connected client. */
export interface StreamStatus extends AdsPeer {
  /** Milliseconds since the epoch. */
  readonly connectedAt: number;
  readonly types: readonly TypeStatus[];
}

export type AdsCall = ServerDuplexStream<DeltaRequest, WireInput<DeltaResponse>>;

const MAX_STREAMS = 10_000;

/** Serves delta ADS: authenticates each stream, tells all of them about commits, knows who has accepted what. */
export class AdsServer implements Disposable {
  readonly #options: AdsServerOptions;
  readonly #streams = new Map<AdsStream, number>();
  readonly #debounce: PushDebounce;
  readonly #unsubscribe: () => void;

  constructor(options: AdsServerOptions) {
    this.#options = options;
    this.#debounce = new PushDebounce(options.push, (names) => {
      for (const stream of this.#streams.keys()) stream.push(names);
    });
    this.#unsubscribe = options.resources.onCommit((names) => this.#debounce.add(names));
  }

  /** The gRPC handler of one stream. */
  handle(call: AdsCall): void {
    this.#serve(call).catch((error: unknown) => {
      if (error instanceof GrpcRefusal) refuse(call, error);
      else {
        this.#options.log.error('stream failed', { error: asMeshError(error).message });
        refuse(call, new GrpcRefusal(status.INTERNAL, 'internal error'));
      }
    });
  }

  /** Who is connected, and what each has been sent, accepted and refused. */
  status(): StreamStatus[] {
    return [...this.#streams].map(([stream, connectedAt]) => ({ ...stream.peer, connectedAt, types: stream.status() }));
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#debounce.stop();
    this.#streams.clear();
  }

  async #serve(call: AdsCall): Promise<void> {
    const { authenticate, log } = this.#options;
    const caller = await authenticateCall(call.metadata, authenticate, log);
    if (this.#streams.size >= MAX_STREAMS) throw new GrpcRefusal(status.RESOURCE_EXHAUSTED, 'too many streams');
    call.sendMetadata(new Metadata());
    let stream: AdsStream | undefined;
    const end = (): void => {
      if (stream !== undefined && this.#streams.delete(stream)) log.info('client gone', { peer: stream.peer.id });
    };
    call.on('data', (request: DeltaRequest) => {
      try {
        stream ??= this.#open(call, caller, request);
        stream.receive(request);
      } catch (error) {
        end();
        refuse(call, error instanceof GrpcRefusal ? error : new GrpcRefusal(status.INTERNAL, 'internal error'));
        if (!(error instanceof GrpcRefusal)) log.error('stream failed', { error: asMeshError(error).message });
      }
    });
    call.on('cancelled', end);
    call.on('close', end);
    // The peer went away: 'close' follows.
    call.on('error', end);
    call.on('end', () => {
      end();
      call.end();
    });
  }

  /** The first request says who the client is; what it says must agree with its token. */
  #open(call: AdsCall, caller: Caller, request: DeltaRequest): AdsStream {
    const { resources, log, servesGateway } = this.#options;
    const metadata = fromStruct(request.node?.metadata);
    const text = (key: string): string => {
      const value = metadata[key];
      return typeof value === 'string' ? value : '';
    };
    const { namespace, uri } = caller.identity;
    const claimed = text('NAMESPACE');
    if (claimed !== '' && claimed !== namespace) {
      log.warn('stream refused: the node is of another namespace than the token', {
        identity: uri,
        namespace: claimed,
      });
      throw new GrpcRefusal(status.PERMISSION_DENIED, 'authorization failed: no identities matched');
    }
    const gateway = text('GATEWAY_NAME') || text('NAME');
    const allowed = gateway !== '' && (servesGateway?.(caller, gateway) ?? true);
    const peer: AdsPeer = {
      id: (request.node?.id ?? '').slice(0, 500),
      identity: uri,
      audience: allowed ? `${namespace}/${gateway}` : undefined,
      node: text('NODE_NAME'),
    };
    const stream = new AdsStream(peer, resources, (response) => call.write(response), log);
    this.#streams.set(stream, Date.now());
    log.info('client connected', { peer: peer.id, identity: uri });
    return stream;
  }
}

function refuse(call: AdsCall, refusal: GrpcRefusal): void {
  call.emit('error', { code: refusal.code, details: refusal.message });
}
