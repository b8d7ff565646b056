import { type Message, type Unset, type WireInput, type WireLong, message } from '../proto/load.ts';
import type { WireStruct } from '../proto/struct.ts';

/** The one method of IstioCertificateService. */
export const CREATE_CERTIFICATE = '/istio.v1.auth.IstioCertificateService/CreateCertificate';

/** Key of the request's metadata under which a node agent names the pod's identity. */
export const IMPERSONATED_IDENTITY = 'ImpersonatedIdentity';

/** `IstioCertificateRequest` as decoded. */
export interface WireCertificateRequest {
  readonly csr: string;
  readonly validityDuration: WireLong;
  readonly metadata: WireStruct | Unset;
}

export type CertificateRequest = WireInput<WireCertificateRequest>;

/** Leaf, intermediates, root bundle. */
export interface CertificateResponse {
  readonly certChain: readonly string[];
}

export const CERTIFICATE_REQUEST: Message<WireCertificateRequest> = message<WireCertificateRequest>(
  'istio.v1.auth.IstioCertificateRequest',
);
export const CERTIFICATE_RESPONSE: Message<CertificateResponse> = message<CertificateResponse>(
  'istio.v1.auth.IstioCertificateResponse',
);
