import type { ErrorCode, MeshError } from '@ambit/common/errors';

/** What a failed upstream means to the client and to the log line. */
export interface FailureReply {
  readonly status: number;
  readonly text: string;
  readonly flag: string;
  readonly detail: string;
  /** UPSTREAM_TRANSPORT_FAILURE_REASON; '' = none. */
  readonly transportFailure: string;
  readonly overloaded: boolean;
}

/** Envoy's name of a reset: as the client reads it, and as it stands in response code details. */
interface Reset {
  readonly reason: string;
  readonly detail: string;
}

const reset = (reason: string): Reset => ({ reason, detail: reason.replaceAll(' ', '_') });

const CONNECTION_FAILURE = reset('remote connection failure');
const CONNECTION_TIMEOUT = reset('connection timeout');
const CONNECTION_TERMINATION = reset('connection termination');
const REMOTE_RESET = reset('remote reset');
const LOCAL_RESET = reset('local reset');
const PROTOCOL_ERROR = reset('protocol error');
const OVERFLOW = reset('overflow');

const NO_HEALTHY_UPSTREAM = reply(503, 'no healthy upstream', 'UH', 'no_healthy_upstream');

/** Every code has its row: a reset before the response, or a reply of its own. The compiler misses none. */
const REPLIES: Readonly<Record<ErrorCode, Reset | FailureReply>> = {
  CONNECT_REFUSED: CONNECTION_FAILURE,
  CONNECT_TIMEOUT: CONNECTION_TIMEOUT,
  HBONE_TIMEOUT: CONNECTION_TIMEOUT,
  TLS_FAILED: CONNECTION_FAILURE,
  TLS_NAME_MISMATCH: CONNECTION_FAILURE,
  NO_IDENTITY: CONNECTION_FAILURE,
  CERT_REVOKED: CONNECTION_FAILURE,
  TUNNEL_DENIED: CONNECTION_FAILURE,
  TUNNEL_REFUSED: CONNECTION_FAILURE,
  UPSTREAM_CLOSED: CONNECTION_TERMINATION,
  STALE_CONNECTION: CONNECTION_TERMINATION,
  UPSTREAM_RESET: REMOTE_RESET,
  STREAM_REFUSED: REMOTE_RESET,
  UPSTREAM_PROTOCOL: PROTOCOL_ERROR,
  HTTP2_FAILED: PROTOCOL_ERROR,
  OVERFLOW,
  TIMEOUT: reply(504, 'upstream request timeout', 'UT', 'response_timeout'),
  NO_HEALTHY_UPSTREAM,
  DNS_FAILED: NO_HEALTHY_UPSTREAM,
  HTTP_INVALID: reply(400, 'Bad Request', 'DPE', 'http2.violation.of.messaging.rule'),
  UNKNOWN_BACKEND: reply(503, '', 'NC', 'cluster_not_found'),
  NO_ROUTE: reply(404, '', 'NR', 'route_not_found'),
  DOWNSTREAM_CLOSED: LOCAL_RESET,
  POLICY_DENIED: LOCAL_RESET,
  LIMIT: LOCAL_RESET,
  DRAINING: LOCAL_RESET,
  CONFIG: LOCAL_RESET,
  INTERNAL: LOCAL_RESET,
};

/** Errors of connecting, whose cause goes to UPSTREAM_TRANSPORT_FAILURE_REASON; it is never told to the client. */
const TRANSPORT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'TLS_FAILED',
  'TLS_NAME_MISMATCH',
  'NO_IDENTITY',
  'CERT_REVOKED',
  'TUNNEL_DENIED',
  'TUNNEL_REFUSED',
  'HBONE_TIMEOUT',
]);

/** The local reply to a request whose upstream failed before any response. `retried`: more than one attempt was made. */
export function failureBeforeResponse(error: MeshError, retried: boolean): FailureReply {
  const { code } = error;
  const row = REPLIES[code];
  if ('status' in row) return row;
  const { reason, detail } = row;
  const transportFailure = transportFailureOf(error);
  const inner = transportFailure === '' ? detail : `${detail}|${transportFailure}`;
  const lead = retried ? 'retried and the latest reset reason' : 'reset reason';
  return {
    status: detail === 'protocol_error' ? 502 : 503,
    text: `upstream connect error or disconnect/reset before headers. ${lead}: ${reason}`,
    flag: row === LOCAL_RESET ? 'LR' : error.kind.flag,
    detail: `upstream_reset_before_response_started{${inner}}`,
    transportFailure,
    overloaded: code === 'OVERFLOW',
  };
}

/** Flag and detail of a response that was cut off by its upstream; an HTTP/1 body cut short is a protocol error. */
export function failureAfterResponse(error: MeshError): { readonly flag: string; readonly detail: string } {
  const isReset = error.code === 'UPSTREAM_RESET';
  const flag = isReset ? 'UR' : 'UPE';
  return { flag, detail: `upstream_reset_after_response_started{${isReset ? 'remote_reset' : 'protocol_error'}}` };
}

function reply(status: number, text: string, flag: string, detail: string): FailureReply {
  return { status, text, flag, detail, transportFailure: '', overloaded: false };
}

/** One word without blanks or quotes, as Envoy prints it, so that columns of the line stay columns. */
function transportFailureOf(error: MeshError): string {
  if (error.code === 'CONNECT_REFUSED') return 'delayed_connect_error:_Connection_refused';
  if (!TRANSPORT.has(error.code)) return '';
  const kind = error.code.startsWith('TLS') ? 'TLS_error' : error.code.toLowerCase();
  return `${kind}:_${error.message}`.replace(/[^!#-~]+/g, '_');
}
