import { generateKeyPairSync } from 'node:crypto';
import { MeshError } from '@ambit/common/errors';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { PrivateFolder } from './private-folder.ts';
import { CLOCK_SKEW_MS, type Roots, advanceRoots, bundleOf, loadRoots } from './roots.ts';
import { verifySigningRequest } from './signing-request.ts';
import { issueCertificate } from './x509.ts';

/** DEFAULT_WORKLOAD_CERT_TTL. */
const DEFAULT_TTL_SECONDS = 86_400;
/** MAX_WORKLOAD_CERT_TTL. */
const MAX_TTL_SECONDS = 90 * 86_400;

export interface CertificateAuthorityOptions {
  readonly trustDomain: string;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** Certificate and key of a server of this control plane. */
export interface ServerCertificate {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Signs workload certificates under a root that it keeps in a folder. What a certificate says is decided here: one URI SAN,
 * the identity that was authenticated.
 */
export class CertificateAuthority {
  readonly #folder: PrivateFolder;
  readonly #options: CertificateAuthorityOptions;
  #roots: Roots;

  private constructor(folder: PrivateFolder, options: CertificateAuthorityOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#roots = loadRoots(folder, options.trustDomain, options.clock());
  }

  /** Loads the root of the folder, made at the first start. @throws MeshError CONFIG when the folder is unsafe or its files are unusable. */
  static load(dir: string, options: CertificateAuthorityOptions): CertificateAuthority {
    return new CertificateAuthority(new PrivateFolder(dir), options);
  }

  /** All trust anchors as PEM: during a rotation, the old root and the new. */
  get roots(): string {
    return bundleOf(this.#current());
  }

  /**
   * Signs a request: the leaf, then the root bundle. The lifetime is cut to what is left of the root's.
   *
   * @throws MeshError CONFIG when the request or the lifetime asked for is not acceptable.
   */
  sign(csrPem: string, identity: SpiffeId, ttlSeconds: number): string[] {
    if (ttlSeconds > MAX_TTL_SECONDS) {
      throw new MeshError(
        'CONFIG',
        `a lifetime of ${ttlSeconds} s was asked for, at most ${MAX_TTL_SECONDS} s are given`,
      );
    }
    const publicKey = verifySigningRequest(csrPem);
    const roots = this.#current();
    const { notBefore, notAfter } = this.#validity(ttlSeconds > 0 ? ttlSeconds : DEFAULT_TTL_SECONDS);
    const content = {
      subject: undefined,
      publicKey,
      notBefore,
      notAfter,
      authority: false,
      uris: [identity.uri],
      hosts: [],
    };
    return [issueCertificate(content, roots.signer), bundleOf(roots)];
  }

  /** Makes a key and a certificate for this control plane's own port. */
  serverCertificate(hosts: readonly string[], ttlSeconds: number): ServerCertificate {
    const { signer } = this.#current();
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const validity = this.#validity(ttlSeconds);
    const subject = { organization: this.#options.trustDomain, commonName: 'Ambit control plane' };
    return {
      ...validity,
      certificateChain: issueCertificate(
        { ...validity, subject, publicKey, authority: false, uris: [], hosts },
        signer,
      ),
      privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    };
  }

  #validity(ttlSeconds: number): { readonly notBefore: number; readonly notAfter: number } {
    const now = this.#options.clock();
    const { signer } = this.#current();
    return {
      notBefore: Math.max(now - CLOCK_SKEW_MS, signer.notBefore),
      notAfter: Math.min(now + ttlSeconds * 1000, signer.notAfter),
    };
  }

  #current(): Roots {
    const { trustDomain, clock } = this.#options;
    this.#roots = advanceRoots(this.#folder, this.#roots, trustDomain, clock());
    return this.#roots;
  }
}
