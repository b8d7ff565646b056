import { generateKeyPairSync, randomBytes } from 'node:crypto';
import forge from 'node-forge';

/** A PEM certificate with its key. */
export interface Issued {
  readonly certificate: string;
  readonly privateKey: string;
}

/** A certificate authority of the pretended internet; it lives as long as the demo. */
export class DemoAuthority {
  readonly root: Issued;

  constructor(name = 'Ambit demo internet CA') {
    this.root = issue({ commonName: name, names: [], authority: undefined });
  }

  /** A server certificate for these names, or a client certificate when there are none. */
  issue(commonName: string, names: readonly string[]): Issued {
    return issue({ commonName, names, authority: this.root });
  }
}

interface Request {
  readonly commonName: string;
  readonly names: readonly string[];
  /** Undefined: self-signed root. */
  readonly authority: Issued | undefined;
}

const DAY_MS = 86_400_000;

function issue(request: Request): Issued {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = privateKey.export({ type: 'pkcs1', format: 'pem' });
  const key = forge.pki.privateKeyFromPem(pem);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.setRsaPublicKey(key.n, key.e);
  certificate.serialNumber = `00${randomBytes(8).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + 30 * DAY_MS);
  const subject = [{ name: 'commonName', value: request.commonName }];
  certificate.setSubject(subject);
  const parent = request.authority;
  certificate.setIssuer(
    parent === undefined ? subject : forge.pki.certificateFromPem(parent.certificate).subject.attributes,
  );
  certificate.setExtensions(extensions(request));
  certificate.sign(
    parent === undefined ? key : forge.pki.privateKeyFromPem(parent.privateKey),
    forge.md.sha256.create(),
  );
  return { certificate: forge.pki.certificateToPem(certificate), privateKey: pem };
}

function extensions(request: Request): object[] {
  if (request.authority === undefined) {
    return [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      { name: 'subjectKeyIdentifier' },
    ];
  }
  const common = [
    { name: 'basicConstraints', cA: false },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: request.names.length > 0, clientAuth: request.names.length === 0 },
  ];
  if (request.names.length === 0) return common;
  return [...common, { name: 'subjectAltName', altNames: request.names.map((value) => ({ type: 2, value })) }];
}
