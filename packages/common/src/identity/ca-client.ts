import { Client, type ServiceError } from '@grpc/grpc-js';
import { MeshError, asMeshError } from '../errors.ts';
import { toStruct } from '../proto/struct.ts';
import type { ScopedLogger } from '../telemetry/log.ts';
import {
  type ControlPlaneAddress,
  type ControlPlaneAuth,
  authMetadata,
  readRoots,
  secureChannel,
} from '../xds/secure-channel.ts';
import { CERTIFICATE_REQUEST, CERTIFICATE_RESPONSE, CREATE_CERTIFICATE, IMPERSONATED_IDENTITY } from './ca-messages.ts';
import type { CertificateRequest, CertificateResponse } from './ca-messages.ts';
import type { SpiffeId } from './spiffe.ts';

export interface CaClientOptions extends ControlPlaneAddress, ControlPlaneAuth {
  /** SECRET_TTL. */
  readonly ttlSeconds: number;
  /** A node agent asks for the identities of its pods; everybody else only for their own. */
  readonly impersonate: boolean;
  /** How long one request may take; 10 s when absent. */
  readonly timeoutMs?: number;
  readonly log: ScopedLogger;
}

/** Sends certificate requests to an IstioCertificateService. */
export class CaClient implements Disposable {
  readonly #options: CaClientOptions;
  #client: Client | undefined;
  /** The trust anchors that the channel was made with. */
  #roots = '';

  constructor(options: CaClientOptions) {
    this.#options = options;
  }

  /** The CA's answer: leaf, intermediates, root bundle. @throws MeshError NO_IDENTITY with what the CA or the network said. */
  async sign(csr: string, identity: SpiffeId, signal: AbortSignal): Promise<string[]> {
    const { ttlSeconds, impersonate, timeoutMs = 10_000 } = this.#options;
    const request = {
      csr,
      validityDuration: ttlSeconds,
      metadata: impersonate ? toStruct({ [IMPERSONATED_IDENTITY]: identity.uri }) : undefined,
    };
    const client = this.#current();
    const metadata = authMetadata(this.#options);
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response: CertificateResponse | undefined): void => {
        signal.removeEventListener('abort', abort);
        if (error === null && response !== undefined) resolve([...response.certChain]);
        else reject(refused(identity, error));
      };
      const deadline = Date.now() + timeoutMs;
      const call = client.makeUnaryRequest(
        CREATE_CERTIFICATE,
        serialize,
        deserialize,
        request,
        metadata,
        { deadline },
        done,
      );
      const abort = (): void => call.cancel();
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
    });
  }

  [Symbol.dispose](): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** The channel, made anew when the trust anchors have changed; the old one stays when the new ones are unusable. */
  #current(): Client {
    const { roots: source, log } = this.#options;
    try {
      const roots = readRoots(source).join('');
      if (this.#client !== undefined && roots === this.#roots) return this.#client;
      const channel = secureChannel(this.#options);
      const client = new Client(channel.target, channel.credentials, channel.options);
      this.#client?.close();
      this.#client = client;
      this.#roots = roots;
      return client;
    } catch (error) {
      if (this.#client === undefined) throw error;
      log.warn('trust anchors of the CA are unusable: the previous ones stay', { error: asMeshError(error).message });
      return this.#client;
    }
  }
}

function refused(identity: SpiffeId, error: ServiceError | null): MeshError {
  const why = error === null ? 'an empty answer' : error.message;
  return new MeshError('NO_IDENTITY', `no certificate for ${identity.uri}: ${why}`, { cause: error });
}

const serialize = (request: CertificateRequest): Buffer => Buffer.from(CERTIFICATE_REQUEST.encode(request));
const deserialize = (bytes: Buffer): CertificateResponse => CERTIFICATE_RESPONSE.decode(bytes);
