import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { MeshError } from '@ambit/common/errors';
import type { ClientTls, Credential } from '@ambit/common/model/backend';

/** Gives the Secret of a `credentialName` as this waypoint received it. */
export type CredentialLookup = (name: string) => Credential | undefined;

interface Material {
  readonly ca: readonly string[];
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

interface CachedFile {
  /** Inode, size and change time: a mounted Secret is replaced by renaming a link. */
  readonly stamp: string;
  readonly text: string;
}

/** Contexts by their content; a system trust store costs a millisecond to load. */
const MAX_CONTEXTS = 256;

/** Trust anchors and client certificates for originated TLS, read again when a file or a Secret changed. */
export class TlsMaterial {
  readonly #credential: CredentialLookup;
  readonly #files = new Map<string, CachedFile>();
  readonly #contexts = new Map<string, SecureContext>();
  #system: readonly string[] | undefined;

  constructor(credential: CredentialLookup) {
    this.#credential = credential;
  }

  /** @throws MeshError TLS_FAILED when key material or trust anchors are missing or unreadable: never falls back to less. */
  async context(tls: ClientTls): Promise<SecureContext> {
    const { ca, certificate, key } = await this.#material(tls);
    const id = JSON.stringify([ca === this.#system ? 'system' : ca, certificate, key]);
    let context = this.#contexts.get(id);
    if (context === undefined) {
      if (this.#contexts.size >= MAX_CONTEXTS) this.#contexts.clear();
      context = makeContext({ ca, certificate, key }, describeSources(tls));
      this.#contexts.set(id, context);
    }
    return context;
  }

  async #material(tls: ClientTls): Promise<Material> {
    const secret = tls.credential === '' ? undefined : this.#secret(tls.credential);
    const ca = await this.#authorities(tls, secret);
    if (tls.mode === 'SIMPLE') return { ca, certificate: undefined, key: undefined };
    const certificate = secret?.certificateChain ?? (await this.#file(tls.clientCertificate, 'clientCertificate'));
    const key = secret?.privateKey ?? (await this.#file(tls.privateKey, 'privateKey'));
    if (certificate === '' || key === '') {
      throw new MeshError(
        'TLS_FAILED',
        `TLS mode MUTUAL, but ${describeSources(tls)} holds no client certificate and key`,
      );
    }
    return { ca, certificate, key };
  }

  #secret(name: string): Credential {
    const secret = this.#credential(name);
    if (secret !== undefined) return secret;
    throw new MeshError(
      'TLS_FAILED',
      `Secret ${name} (credentialName of the DestinationRule) has not been delivered: does it exist in the waypoint's namespace?`,
    );
  }

  async #authorities(tls: ClientTls, secret: Credential | undefined): Promise<readonly string[]> {
    if (tls.insecureSkipVerify) return [];
    if (tls.caCertificates !== '') return [await this.#file(tls.caCertificates, 'caCertificates')];
    if (secret !== undefined && secret.caCertificates !== '') return [secret.caCertificates];
    return (this.#system ??= systemAuthorities());
  }

  async #file(path: string, field: string): Promise<string> {
    if (path === '') throw new MeshError('TLS_FAILED', `TLS mode MUTUAL without ${field} and without credentialName`);
    try {
      const { ino, size, mtimeMs } = await stat(path);
      const stamp = `${ino}:${size}:${mtimeMs}`;
      const cached = this.#files.get(path);
      if (cached?.stamp === stamp) return cached.text;
      const text = await readFile(path, 'utf8');
      this.#files.set(path, { stamp, text });
      return text;
    } catch (error) {
      throw new MeshError('TLS_FAILED', `${field} ${path} cannot be read in the waypoint: ${String(error)}`, {
        cause: error,
      });
    }
  }
}

function makeContext({ ca, certificate, key }: Material, sources: string): SecureContext {
  try {
    return createSecureContext({
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ...(ca.length > 0 ? { ca: [...ca] } : {}),
      ...(certificate === undefined ? {} : { cert: certificate, key }),
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MeshError('TLS_FAILED', `${sources} cannot be used for TLS: ${reason}`, { cause: error });
  }
}

/** What the operating system trusts and NODE_EXTRA_CA_CERTS adds; Mozilla's list where the system has none. */
function systemAuthorities(): readonly string[] {
  const own = [...getCACertificates('system'), ...getCACertificates('extra')];
  return own.length > 0 ? own : getCACertificates('bundled');
}

function describeSources(tls: ClientTls): string {
  if (tls.credential !== '') return `Secret ${tls.credential}`;
  const files = [tls.caCertificates, tls.clientCertificate, tls.privateKey].filter((path) => path !== '');
  return files.length > 0 ? files.join(', ') : 'the system trust store';
}
