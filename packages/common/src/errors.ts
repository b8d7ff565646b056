/**
 * Who has to act on a failure: the caller (downstream), the destination (upstream) or this program (local).
 * Access logs and retries follow from it.
 */
export type ErrorSource = 'downstream' | 'upstream' | 'local';

/** What one kind of failure means everywhere: in logs (`flag`, `l4Flag`), to HTTP callers (`status`), to the retry loop and to the operator (`hint`). */
export interface ErrorKind {
  readonly source: ErrorSource;
  /** Envoy's response flag, printed by the waypoint. */
  readonly flag: string;
  /** Istio ztunnel's `response_flags` value. */
  readonly l4Flag: string;
  /** HTTP status of the local reply. */
  readonly status: number;
  /** May the same request be tried on another endpoint? Only when no byte of it was processed. */
  readonly retry: boolean;
  /** What the operator should look at first. */
  readonly hint: string;
}

type Row = readonly [source: ErrorSource, flag: string, l4Flag: string, status: number, hint: string, retry?: 'retry'];

const kind = ([source, flag, l4Flag, status, hint, retry]: Row): ErrorKind => ({
  source,
  flag,
  l4Flag,
  status,
  retry: retry !== undefined,
  hint,
});

export type ErrorCode =
  | 'CONNECT_REFUSED'
  | 'CONNECT_TIMEOUT'
  | 'HBONE_TIMEOUT'
  | 'TLS_FAILED'
  | 'TLS_NAME_MISMATCH'
  | 'HTTP2_FAILED'
  | 'HTTP_INVALID'
  | 'UPSTREAM_PROTOCOL'
  | 'UPSTREAM_CLOSED'
  | 'UPSTREAM_RESET'
  | 'STREAM_REFUSED'
  | 'STALE_CONNECTION'
  | 'DOWNSTREAM_CLOSED'
  | 'OVERFLOW'
  | 'TIMEOUT'
  | 'DNS_FAILED'
  | 'NO_HEALTHY_UPSTREAM'
  | 'UNKNOWN_BACKEND'
  | 'NO_ROUTE'
  | 'NO_IDENTITY'
  | 'CERT_REVOKED'
  | 'POLICY_DENIED'
  | 'TUNNEL_DENIED'
  | 'TUNNEL_REFUSED'
  | 'LIMIT'
  | 'DRAINING'
  | 'CONFIG'
  | 'INTERNAL';

/** The one table of failures. A new kind of failure is one row here, thrown where the effect fails. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorKind>> = {
  CONNECT_REFUSED: kind([
    'upstream',
    'UF',
    'CONNECT',
    503,
    'is the application listening on this address and port?',
    'retry',
  ]),
  CONNECT_TIMEOUT: kind(['upstream', 'UF', 'CONNECT', 503, 'is the destination reachable from this node?', 'retry']),
  HBONE_TIMEOUT: kind(['upstream', 'UF', 'NETWORK_POLICY', 503, 'a NetworkPolicy may block HBONE port 15008', 'retry']),
  TLS_FAILED: kind([
    'upstream',
    'UF',
    'TLS_FAILURE',
    503,
    'compare the certificate the peer presents with the one expected',
  ]),
  TLS_NAME_MISMATCH: kind([
    'upstream',
    'UF',
    'TLS_FAILURE',
    503,
    'compare the expected names with those in the certificate',
  ]),
  HTTP2_FAILED: kind(['upstream', 'UPE', 'H2_HANDSHAKE_FAILURE', 502, 'does the peer speak HTTP/2 here?']),
  HTTP_INVALID: kind(['downstream', 'DPE', 'CONNECT', 400, 'the peer sent HTTP that RFC 9110, 9112 or 9113 forbids']),
  UPSTREAM_PROTOCOL: kind(['upstream', 'UPE', 'CONNECT', 502, 'does the destination speak HTTP on this port?']),
  UPSTREAM_CLOSED: kind(['upstream', 'UC', 'CONNECT', 503, 'the destination closed the connection before it answered']),
  UPSTREAM_RESET: kind(['upstream', 'UR', 'CONNECT', 503, 'the destination reset the stream']),
  STREAM_REFUSED: kind(['upstream', 'UR', 'CONNECT', 503, 'the destination takes no more streams for now', 'retry']),
  STALE_CONNECTION: kind([
    'upstream',
    'UC',
    'CONNECT',
    503,
    'the destination closes idle connections sooner than this program: lower connectionPool.http.idleTimeout',
    'retry',
  ]),
  DOWNSTREAM_CLOSED: kind(['downstream', 'DC', 'CONNECT', 0, 'the client went away']),
  OVERFLOW: kind(['local', 'UO', 'CONNECT', 503, 'a connection pool or buffer limit was reached']),
  TIMEOUT: kind(['upstream', 'UT', 'CONNECT', 504, 'the destination did not answer in time']),
  DNS_FAILED: kind(['upstream', 'UH', 'CONNECT', 503, 'can the host name be resolved from this node?']),
  NO_HEALTHY_UPSTREAM: kind(['upstream', 'UH', 'CONNECT', 503, 'does the service have ready endpoints for this port?']),
  UNKNOWN_BACKEND: kind(['local', 'NC', 'CONNECT', 503, 'does a route name a service that this waypoint knows?']),
  NO_ROUTE: kind([
    'downstream',
    'NR',
    'CONNECT',
    404,
    'the client asked for a host that nothing here serves: does a wildcard entry cover it?',
  ]),
  NO_IDENTITY: kind([
    'local',
    'UF',
    'IDENTITY_ERROR',
    503,
    'is the control plane reachable, and does the workload exist there?',
  ]),
  CERT_REVOKED: kind(['upstream', 'UF', 'CERT_REVOKED', 503, 'the peer certificate is on the revocation list']),
  POLICY_DENIED: kind(['downstream', '-', 'DENY', 403, 'ask which policy decided: the log line names it']),
  TUNNEL_DENIED: kind([
    'upstream',
    'UF',
    'CONNECT',
    503,
    'a policy of the far node agent denied the tunnel; its log names the policy',
  ]),
  TUNNEL_REFUSED: kind([
    'upstream',
    'UF',
    'CONNECT',
    503,
    'the far node agent refused the tunnel; its log says why',
    'retry',
  ]),
  LIMIT: kind(['downstream', 'DPE', 'CONNECT', 431, 'the peer exceeded a limit of this program']),
  DRAINING: kind(['local', '-', 'CONNECT', 503, 'this program is shutting down', 'retry']),
  CONFIG: kind(['local', '-', 'CONNECT', 500, 'the configuration was refused; the message names the field']),
  INTERNAL: kind(['local', '-', 'CONNECT', 500, 'a bug: please report it with the log line']),
};

/** A broken effect. Expected outcomes (denied, no healthy upstream) are values of decisions, not errors. */
export class MeshError extends Error {
  readonly code: ErrorCode;

  /** @param message what happened, to what, and what was expected instead, in the operator's words. */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'MeshError';
    this.code = code;
  }

  get kind(): ErrorKind {
    return ERRORS[this.code];
  }
}

/** Turns anything thrown into a MeshError, keeping one that already is. */
export function asMeshError(error: unknown, code: ErrorCode = 'INTERNAL'): MeshError {
  if (error instanceof MeshError) return error;
  return new MeshError(code, error instanceof Error ? error.message : String(error), { cause: error });
}
