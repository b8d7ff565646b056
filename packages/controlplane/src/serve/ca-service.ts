import { type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { MeshError, asMeshError } from '@ambit/common/errors';
import {
  type CertificateResponse,
  IMPERSONATED_IDENTITY,
  type WireCertificateRequest,
} from '@ambit/common/identity/ca-messages';
import { type SpiffeId, parseSpiffe } from '@ambit/common/identity/spiffe';
import { fromStruct } from '@ambit/common/proto/struct';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { type Authenticate, type Caller, GrpcRefusal, type MayImpersonate, authenticateCall } from './authenticate.ts';
import type { CertificateAuthority } from './ca.ts';

export interface CaServiceOptions {
  readonly ca: CertificateAuthority;
  readonly authenticate: Authenticate;
  /** CA_TRUSTED_NODE_ACCOUNTS, each `namespace/serviceAccount`: who may ask for identities of others at all. */
  readonly trustedNodeAccounts: readonly string[];
  readonly mayImpersonate: MayImpersonate;
  readonly log: ScopedLogger;
}

type Call = ServerUnaryCall<WireCertificateRequest, CertificateResponse>;

/** Makes the handler of `IstioCertificateService/CreateCertificate`. */
export function createCertificateHandler(
  options: CaServiceOptions,
): (call: Call, reply: sendUnaryData<CertificateResponse>) => void {
  return (call, reply) => {
    answer(call, options).then(
      (response) => reply(null, response),
      (error: unknown) => reply(grpcError(error, options.log)),
    );
  };
}

async function answer(call: Call, options: CaServiceOptions): Promise<CertificateResponse> {
  const { ca, authenticate, log } = options;
  const caller = await authenticateCall(call.metadata, authenticate, log);
  const identity = await identityFor(caller, call.request, options);
  const certChain = ca.sign(call.request.csr, identity, Number(call.request.validityDuration));
  log.debug('certificate signed', { identity: identity.uri, caller: caller.identity.uri });
  return { certChain };
}

/** The caller's own identity, or the pod's that a trusted node agent speaks for. */
async function identityFor(
  caller: Caller,
  request: WireCertificateRequest,
  options: CaServiceOptions,
): Promise<SpiffeId> {
  const wanted = fromStruct(request.metadata)[IMPERSONATED_IDENTITY];
  if (wanted === undefined || wanted === '') return caller.identity;
  const target = typeof wanted === 'string' ? parseSpiffe(wanted) : undefined;
  const problem = await impersonationProblem(caller, target, options);
  if (target !== undefined && problem === undefined) return target;
  options.log.warn('impersonation refused', {
    caller: caller.identity.uri,
    identity: JSON.stringify(wanted),
    reason: problem,
  });
  throw new GrpcRefusal(status.UNAUTHENTICATED, 'request impersonation authentication failure');
}

async function impersonationProblem(
  caller: Caller,
  target: SpiffeId | undefined,
  { trustedNodeAccounts, mayImpersonate }: CaServiceOptions,
): Promise<string | undefined> {
  const { namespace, serviceAccount, trustDomain } = caller.identity;
  if (target === undefined) return 'not a SPIFFE id';
  if (target.trustDomain !== trustDomain) return 'another trust domain';
  if (!trustedNodeAccounts.includes(`${namespace}/${serviceAccount}`)) return 'the caller is no trusted node account';
  if (!(await mayImpersonate(caller, target))) return "no pod of this identity runs on the caller's node";
  return undefined;
}

function grpcError(error: unknown, log: ScopedLogger): { readonly code: status; readonly details: string } {
  if (error instanceof GrpcRefusal) return { code: error.code, details: error.message };
  if (error instanceof MeshError && error.code === 'CONFIG')
    return { code: status.INVALID_ARGUMENT, details: error.message };
  log.error('certificate not signed', { error: asMeshError(error).message });
  return { code: status.INTERNAL, details: 'the certificate could not be signed' };
}
