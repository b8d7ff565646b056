/** From the first byte of a request head to its last: Envoy's request_headers_timeout. */
export const HEAD_MS = 60_000;
/** A connection that carries nothing: Envoy's idle timeout, of HTTP and of TCP. */
export const IDLE_MS = 3_600_000;
