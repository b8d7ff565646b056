import { type KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { MeshError } from '@ambit/common/errors';
import { PrivateFolder } from './private-folder.ts';

/** Audience of the tokens that open ADS and the CA. */
export const TOKEN_AUDIENCE = 'istio-ca';

const LIFE_SECONDS = 43_200;
const KEY_FILE = 'token-key.pem';
const ISSUER = 'ambit';
const HEADER = encode({ alg: 'ES256', typ: 'JWT' });
/** Ours have about 500 bytes. */
const MAX_TOKEN_BYTES = 8192;

/** Which pod a token is for. */
export interface PodToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

/** Issues and verifies the tokens of pods where no API server does: JWTs (ES256) with Kubernetes' claims, valid for 12 hours. */
export class TokenIssuer {
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #clock: () => number;

  private constructor(privateKey: KeyObject, clock: () => number) {
    this.#privateKey = privateKey;
    this.#publicKey = createPublicKey(privateKey);
    this.#clock = clock;
  }

  /** Loads the key of the folder, made at the first start. @throws MeshError CONFIG when the folder is unsafe or the key unusable. */
  static load(dir: string, clock: () => number = Date.now): TokenIssuer {
    const folder = new PrivateFolder(dir);
    const text = folder.read(KEY_FILE, true);
    if (text !== undefined) return new TokenIssuer(readKey(text), clock);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    folder.write(KEY_FILE, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    return new TokenIssuer(privateKey, clock);
  }

  /** A token for a pod. Never logged. */
  issue(pod: PodToken & { readonly audience: string }): string {
    const now = Math.floor(this.#clock() / 1000);
    const payload = encode({
      iss: ISSUER,
      aud: [pod.audience],
      iat: now,
      nbf: now,
      exp: now + LIFE_SECONDS,
      sub: `system:serviceaccount:${pod.namespace}:${pod.serviceAccount}`,
      'kubernetes.io': {
        namespace: pod.namespace,
        pod: { name: pod.podName, uid: pod.podUid },
        serviceaccount: { name: pod.serviceAccount },
      },
    });
    const signature = sign('sha256', Buffer.from(`${HEADER}.${payload}`), {
      key: this.#privateKey,
      dsaEncoding: 'ieee-p1363',
    });
    return `${HEADER}.${payload}.${signature.toString('base64url')}`;
  }

  /** Whose token it is; undefined unless it is ours, for this audience and valid now. */
  verify(token: string, audience: string = TOKEN_AUDIENCE): PodToken | undefined {
    if (token.length > MAX_TOKEN_BYTES) return undefined;
    const [header, payload, signature, ...rest] = token.split('.');
    // Only the header that we write ourselves is accepted: there is no algorithm to be confused about.
    if (header !== HEADER || payload === undefined || signature === undefined || rest.length > 0) return undefined;
    const proof = Buffer.from(signature, 'base64url');
    const key = { key: this.#publicKey, dsaEncoding: 'ieee-p1363' } as const;
    if (!verify('sha256', Buffer.from(`${header}.${payload}`), key, proof)) return undefined;
    const claims = new Claims(JSON.parse(Buffer.from(payload, 'base64url').toString()));
    const now = this.#clock() / 1000;
    if (!(now >= claims.number('nbf') && now < claims.number('exp'))) return undefined;
    if (claims.text('iss') !== ISSUER || !claims.list('aud').includes(audience)) return undefined;
    const kubernetes = claims.nested('kubernetes.io');
    return {
      namespace: kubernetes.text('namespace'),
      serviceAccount: kubernetes.nested('serviceaccount').text('name'),
      podName: kubernetes.nested('pod').text('name'),
      podUid: kubernetes.nested('pod').text('uid'),
    };
  }
}

/** Reads claims whose signature is verified; a claim of another type than expected reads as absent. */
class Claims {
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(json: unknown) {
    this.#values = new Map(typeof json === 'object' && json !== null ? Object.entries(json) : []);
  }

  text(name: string): string {
    const value = this.#values.get(name);
    return typeof value === 'string' ? value : '';
  }

  /** NaN when absent: no comparison with it is true. */
  number(name: string): number {
    const value = this.#values.get(name);
    return typeof value === 'number' ? value : Number.NaN;
  }

  list(name: string): readonly unknown[] {
    const value = this.#values.get(name);
    return Array.isArray(value) ? value : [];
  }

  nested(name: string): Claims {
    return new Claims(this.#values.get(name));
  }
}

function encode(json: object): string {
  return Buffer.from(JSON.stringify(json)).toString('base64url');
}

function readKey(text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw new MeshError('CONFIG', `${KEY_FILE} holds no private key`, { cause });
  }
}
