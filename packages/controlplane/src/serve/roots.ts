import { type KeyObject, createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { MeshError } from '@ambit/common/errors';
import { parseCertificate } from '@ambit/common/identity/certificate';
import type { PrivateFolder } from './private-folder.ts';
import { type DistinguishedName, type Issuer, issueCertificate } from './x509.ts';

const DAY_MS = 86_400_000;
const ROOT_LIFE_MS = 3650 * DAY_MS;
/** A root is replaced in this last part of its life. */
const LAST_PART = 0.2;
/** A new root is trusted for this long before it signs: every workload renews at least once within it. */
const OVERLAP_MS = 2 * DAY_MS;
/** Clocks of nodes may be this much behind. */
export const CLOCK_SKEW_MS = 120_000;

/** A root certificate with its key. */
export interface Root extends Issuer {
  readonly pem: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What is trusted and who signs, now. */
export interface Roots {
  readonly signer: Root;
  /** The root that will sign next, trusted already. */
  readonly next: Root | undefined;
  /** A former signer, trusted until it expires. */
  readonly former: string | undefined;
}

/** A root's certificate and key are one file, so that they can only change together. */
const FILES = { signer: 'ca.pem', next: 'next.pem', former: 'former-cert.pem', bundle: 'root-cert.pem' } as const;

/** All trust anchors, one PEM after another. */
export const bundleOf = ({ signer, next, former }: Roots): string => signer.pem + (next?.pem ?? '') + (former ?? '');

/** Loads the roots of a folder, or makes the first one. @throws MeshError CONFIG naming the file that cannot be used. */
export function loadRoots(folder: PrivateFolder, organization: string, now: number): Roots {
  const signer = loadRoot(folder, FILES.signer, organization);
  if (signer === undefined)
    return storeRoots(folder, { signer: createRoot(organization, now), next: undefined, former: undefined });
  const next = loadRoot(folder, FILES.next, organization);
  const former = folder.read(FILES.former, false);
  // The same twice: a crash came between the two writes of a hand-over.
  const pending = next?.pem === signer.pem ? undefined : next;
  return advanceRoots(folder, { signer, next: pending, former }, organization, now);
}

/**
 * Does what time asks for:
 *
 *     one root ──last 20 % of life──► next is trusted too ──2 days──► next signs, the former stays trusted until it expires
 */
export function advanceRoots(folder: PrivateFolder, roots: Roots, organization: string, now: number): Roots {
  const { signer, next, former } = roots;
  if (now >= signer.notAfter && next === undefined) {
    return storeRoots(folder, { signer: createRoot(organization, now), next: undefined, former: undefined });
  }
  if (next !== undefined && (now >= next.notBefore + CLOCK_SKEW_MS + OVERLAP_MS || now >= signer.notAfter)) {
    return storeRoots(folder, { signer: next, next: undefined, former: signer.pem });
  }
  const due = signer.notAfter - (signer.notAfter - signer.notBefore) * LAST_PART;
  if (next === undefined && now >= due) {
    return storeRoots(folder, { signer, next: createRoot(organization, now), former });
  }
  if (former !== undefined && now >= parseCertificate(former).validToDate.getTime()) {
    return storeRoots(folder, { signer, next, former: undefined });
  }
  return roots;
}

function createRoot(organization: string, now: number): Root {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  // Two roots of one mesh must not share a name: a verifier could take one for the other's issuer.
  const name: DistinguishedName = { organization, commonName: `Ambit root ${randomBytes(4).toString('hex')}` };
  const notBefore = now - CLOCK_SKEW_MS;
  const notAfter = now + ROOT_LIFE_MS;
  const content = { subject: name, publicKey, notBefore, notAfter, authority: true, uris: [], hosts: [] };
  return { name, key: privateKey, pem: issueCertificate(content, { name, key: privateKey }), notBefore, notAfter };
}

const REMEDY = 'put back a copy of the file, or remove it to begin with a new root';

function loadRoot(folder: PrivateFolder, file: string, organization: string): Root | undefined {
  const text = folder.read(file, true);
  if (text === undefined) return undefined;
  const path = folder.path(file);
  const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(text)?.[0];
  if (pem === undefined) throw new MeshError('CONFIG', `${path}: no certificate in it; ${REMEDY}`);
  const certificate = parseCertificate(pem);
  const key = readKey(text, path);
  if (!certificate.checkPrivateKey(key))
    throw new MeshError('CONFIG', `${path}: the key is not the certificate's; ${REMEDY}`);
  const part = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, 'm').exec(certificate.subject)?.[1];
  return {
    name: { organization: part('O') ?? organization, commonName: part('CN') ?? '' },
    key,
    pem: `${pem}\n`,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
  };
}

function readKey(text: string, file: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw new MeshError('CONFIG', `${file} holds no private key; ${REMEDY}`, { cause });
  }
}

/** The former signer is written before its successor takes its place: after a crash nothing that was trusted is missing. */
function storeRoots(folder: PrivateFolder, roots: Roots): Roots {
  if (roots.former === undefined) folder.remove(FILES.former);
  else folder.write(FILES.former, roots.former);
  writeRoot(folder, FILES.signer, roots.signer);
  if (roots.next === undefined) folder.remove(FILES.next);
  else writeRoot(folder, FILES.next, roots.next);
  folder.write(FILES.bundle, bundleOf(roots));
  return roots;
}

const writeRoot = (folder: PrivateFolder, file: string, root: Root): void =>
  folder.write(file, `${root.pem}${root.key.export({ type: 'pkcs8', format: 'pem' })}`);
