import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, type ConnectionOptions, type PeerCertificate, type SecureContext, type TLSSocket } from 'node:tls';
import { parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import type { ClientTls } from '@ambit/common/model/backend';
import { type ExpectedNames, presentedNames, presentsName } from './tls-names.ts';

/** One TLS handshake to make. */
export interface TlsRequest {
  readonly tls: ClientTls;
  readonly context: SecureContext;
  /** Host of the request without port; undefined for opaque bytes. */
  readonly host: string | undefined;
  /** The backend is a wildcard whose host the client chose: its name is always checked. */
  readonly chosenByClient: boolean;
  readonly protocol: 'http/1.1' | 'h2' | undefined;
  /** `host (ip:port)`, for messages. */
  readonly destination: string;
}

/**
 * What the certificate must name: `subjectAltNames`; with neither those nor `sni`, the Host.
 * With `sni` alone only the chain is verified: Istio's rule, which surprises people, so callers say it in the log.
 */
export function expectedNames(request: Pick<TlsRequest, 'tls' | 'host' | 'chosenByClient'>): ExpectedNames {
  const { tls, host, chosenByClient } = request;
  if (tls.insecureSkipVerify) return { names: [], origin: 'insecureSkipVerify' };
  if (tls.subjectAltNames.length > 0) return { names: tls.subjectAltNames, origin: 'subjectAltNames' };
  if (host !== undefined && (tls.sni === '' || chosenByClient))
    return { names: [host], origin: 'the Host of the request' };
  return { names: [], origin: tls.sni === '' ? 'no Host' : 'sni' };
}

/** Makes the handshake over a connected socket or tunnel. Rejects with TLS_NAME_MISMATCH or TLS_FAILED; the transport is destroyed then. */
export function originateTls(transport: Socket | Duplex, request: TlsRequest, signal: AbortSignal): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const socket = connect(connectOptions(transport, request));
  const fail = (error: Error): void => {
    cleanUp();
    // Late errors of a socket that was given up are of no interest.
    socket.on('error', () => undefined);
    socket.destroy();
    transport.destroy();
    reject(error instanceof MeshError ? error : explainTlsFailure(error, request.destination));
  };
  const onSecure = (): void => {
    const wanted = request.protocol;
    if (wanted === 'h2' && socket.alpnProtocol !== 'h2') {
      const got = socket.alpnProtocol === false ? 'no protocol' : String(socket.alpnProtocol);
      return fail(
        new MeshError('HTTP2_FAILED', `${request.destination} chose ${got} in ALPN where HTTP/2 was offered`),
      );
    }
    cleanUp();
    resolve(socket);
  };
  const onAbort = (): void => fail(asError(signal.reason));
  const onClose = (): void => fail(new Error('the connection was closed during the TLS handshake'));
  const cleanUp = (): void => {
    signal.removeEventListener('abort', onAbort);
    socket.off('error', fail).off('secureConnect', onSecure).off('close', onClose);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  socket.on('error', fail).on('secureConnect', onSecure).on('close', onClose);
  if (signal.aborted) onAbort();
  return promise;
}

function connectOptions(transport: Socket | Duplex, request: TlsRequest): ConnectionOptions {
  const { tls, context, host, protocol } = request;
  const servername = tls.sni === '' ? host : tls.sni;
  return {
    socket: transport,
    secureContext: context,
    rejectUnauthorized: !tls.insecureSkipVerify,
    // RFC 6066 §3: no addresses in SNI.
    servername: servername === undefined || parseIp(servername) !== undefined ? '' : servername,
    ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] }),
    checkServerIdentity: (_name, peer) => checkNames(peer, request),
  };
}

function checkNames(peer: PeerCertificate, request: TlsRequest): Error | undefined {
  const { names, origin } = expectedNames(request);
  if (names.length === 0) return undefined;
  const certificate = new X509Certificate(peer.raw);
  if (presentsName(certificate, names)) return undefined;
  return new MeshError(
    'TLS_NAME_MISMATCH',
    `${request.destination} presented a certificate for ${presentedNames(certificate)}; expected ${names.join(' or ')} (from ${origin})`,
  );
}

/** OpenSSL's words in the operator's. */
export function explainTlsFailure(error: Error, destination: string): MeshError {
  const code = 'code' in error ? String(error.code) : '';
  const explanation = EXPLANATIONS.find(([pattern]) => pattern.test(code) || pattern.test(error.message))?.[1];
  const reason = explanation ?? error.message;
  return new MeshError('TLS_FAILED', `TLS to ${destination} failed: ${reason}${code === '' ? '' : ` (${code})`}`, {
    cause: error,
  });
}

const EXPLANATIONS: readonly (readonly [RegExp, string])[] = [
  [
    /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNEXPECTED_MESSAGE|BAD_RECORD_TYPE|RECORD_TOO_SMALL|UNKNOWN_PROTOCOL/,
    'the endpoint answered with plain text, not TLS: a DestinationRule originates TLS to a port that does not speak it; check targetPort or remove trafficPolicy.tls',
  ],
  [
    /UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF|SELF_SIGNED/,
    'its certificate is not issued by a trusted authority; check caCertificates or the CA of credentialName',
  ],
  [/CERT_HAS_EXPIRED/, 'its certificate has expired'],
  [/CERT_NOT_YET_VALID/, 'its certificate is not valid yet; compare the clocks'],
  [
    /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_UNKNOWN/,
    'it asks for a client certificate or refused ours; check mode MUTUAL and its key material',
  ],
  [/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/, 'it speaks no TLS version between 1.2 and 1.3'],
  [/NO_APPLICATION_PROTOCOL/, 'it does not offer the HTTP version of this port in ALPN'],
];

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)));
