import type { ProxySettings } from '@ambit/common/model/listener';
import type { ExchangeRecord } from './exchange-record.ts';

/** Control characters and everything beyond ASCII: callers choose many of the fields, a line must stay one harmless line. */
const UNPRINTABLE = /[^ -~]/;
const ALL_UNPRINTABLE = /[^ -~]/g;

/** Makes access log lines in the format that MeshConfig asks for. */
export class AccessLog {
  /** Formatting a date costs more than the rest of the line; within one second only the milliseconds differ. */
  #second = -1;
  #prefix = '';

  /** The line of a record, without its newline; undefined when logging is off. */
  line(record: ExchangeRecord, format: ProxySettings['accessLog']): string | undefined {
    if (format === 'OFF') return undefined;
    const time = this.#isoTime(record.startTime);
    return format === 'JSON' ? jsonLine(record, time) : textLine(record, time);
  }

  /** `2026-01-02T03:04:05.678Z`. */
  #isoTime(ms: number): string {
    const whole = Math.floor(ms);
    const second = Math.floor(whole / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = new Date(second * 1000).toISOString().slice(0, 20);
    }
    const millis = whole - second * 1000;
    return `${this.#prefix}${millis < 10 ? '00' : millis < 100 ? '0' : ''}${millis}Z`;
  }
}

/** Envoy's default format as Istio configures it, byte for byte. */
function textLine(r: ExchangeRecord, time: string): string {
  const line =
    `[${time}] "${or(r.method)} ${or(r.path)} ${or(r.protocol)}" ${r.responseCode} ${or(r.flags)} ` +
    `${or(r.detail)} ${or(r.connectionTermination)} "${or(r.transportFailure)}" ${r.bytesReceived} ${r.bytesSent} ` +
    `${r.durationMs} ${or(r.upstreamServiceTime)} "${or(r.xForwardedFor)}" "${or(r.userAgent)}" "${or(r.requestId)}" ` +
    `"${or(r.authority)}" "${or(r.upstreamHost)}" ${or(r.upstreamCluster)} ${or(r.upstreamLocal)} ` +
    `${or(r.downstreamLocal)} ${or(r.downstreamRemote)} ${or(r.sni)} ${or(r.routeName)}`;
  return UNPRINTABLE.test(line) ? line.replace(ALL_UNPRINTABLE, escape) : line;
}

const or = (value: string): string => (value === '' ? '-' : value);

const escape = (char: string): string => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;

/** Keys in alphabetical order, no blanks, null for what is absent; numbers only where Envoy prints numbers. */
function jsonLine(r: ExchangeRecord, time: string): string {
  return JSON.stringify({
    authority: orNull(r.authority),
    bytes_received: r.bytesReceived,
    bytes_sent: r.bytesSent,
    connection_termination_details: orNull(r.connectionTermination),
    downstream_local_address: orNull(r.downstreamLocal),
    downstream_remote_address: orNull(r.downstreamRemote),
    duration: r.durationMs,
    method: orNull(r.method),
    path: orNull(r.path),
    protocol: orNull(r.protocol),
    request_id: orNull(r.requestId),
    requested_server_name: orNull(r.sni),
    response_code: r.responseCode,
    response_code_details: orNull(r.detail),
    response_flags: or(r.flags),
    route_name: orNull(r.routeName),
    start_time: time,
    upstream_cluster: orNull(r.upstreamCluster),
    upstream_host: orNull(r.upstreamHost),
    upstream_local_address: orNull(r.upstreamLocal),
    upstream_service_time: orNull(r.upstreamServiceTime),
    upstream_transport_failure_reason: orNull(r.transportFailure),
    user_agent: orNull(r.userAgent),
    x_forwarded_for: orNull(r.xForwardedFor),
  });
}

const orNull = (value: string): string | null => (value === '' ? null : value);
