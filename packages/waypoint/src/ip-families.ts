import { networkInterfaces } from 'node:os';

/** True where some interface has an IPv6 address: only then can `::` be listened on. */
export function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6') === true);
}
