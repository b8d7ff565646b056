import { type Metadata, status } from '@grpc/grpc-js';
import { asMeshError } from '@ambit/common/errors';
import { type SpiffeId, spiffeId } from '@ambit/common/identity/spiffe';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { TOKEN_AUDIENCE, type TokenIssuer } from './tokens.ts';

/** Who makes a call: a pod, by its service account. */
export interface Caller {
  readonly identity: SpiffeId;
  readonly podName: string;
  readonly podUid: string;
}

/** Says whose bearer token it is; undefined for a token that is not accepted. */
export type Authenticate = (token: string) => Caller | undefined | Promise<Caller | undefined>;

/** May this node agent have certificates of `identity`? True when a pod of that service account runs on its node. */
export type MayImpersonate = (caller: Caller, identity: SpiffeId) => boolean | Promise<boolean>;

/** A refusal as gRPC wants it: callers learn no more than this. */
export class GrpcRefusal extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

const BEARER = /^Bearer (\S+)$/i;

/** The caller of a gRPC call. @throws GrpcRefusal UNAUTHENTICATED with a fixed message; the log has the reason. */
export async function authenticateCall(
  metadata: Metadata,
  authenticate: Authenticate,
  log: ScopedLogger,
): Promise<Caller> {
  const header = metadata.get('authorization')[0];
  const token = typeof header === 'string' ? BEARER.exec(header)?.[1] : undefined;
  let reason = token === undefined ? 'no bearer token' : 'the token is not valid';
  if (token !== undefined) {
    try {
      const caller = await authenticate(token);
      if (caller !== undefined) return caller;
    } catch (error) {
      reason = asMeshError(error).message;
    }
  }
  log.warn('call refused', { reason });
  throw new GrpcRefusal(status.UNAUTHENTICATED, 'request authenticate failure');
}

/** Accepts the tokens of an issuer of ours. */
export function tokenAuthenticator(issuer: TokenIssuer, trustDomain: string): Authenticate {
  return (token) => {
    const pod = issuer.verify(token, TOKEN_AUDIENCE);
    if (pod === undefined) return undefined;
    return {
      identity: spiffeId(trustDomain, pod.namespace, pod.serviceAccount),
      podName: pod.podName,
      podUid: pod.podUid,
    };
  };
}
