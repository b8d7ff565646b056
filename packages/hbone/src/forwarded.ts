import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';

const ASCII = /^[\t\x20-\x7e]*$/;

/** `for="ip:port"`, and `;host=` with the service that was addressed, if one was. */
export function formatForwarded(client: HostPort, host: string | undefined): string {
  const from = `for="${formatHostPort(client.ip, client.port)}"`;
  return host === undefined || host === '' ? from : `${from};host=${host}`;
}

/**
 * The host of a `forwarded` header as Istio's ztunnel reads it: the first line only; parts are separated by ";" alone; the first that starts
 * with lower-case `host=`; one quote at either end is removed; empty or non-ASCII is absent. `for=` is never read: it is no source of truth.
 */
export function parseForwardedHost(line: string | undefined): string | undefined {
  if (line === undefined || !ASCII.test(line)) return undefined;
  const part = line
    .split(';')
    .map((one) => one.trim())
    .find((one) => one.startsWith('host='));
  const host = part?.slice('host='.length).replace(/^"/, '').replace(/"$/, '');
  return host === '' ? undefined : host;
}
