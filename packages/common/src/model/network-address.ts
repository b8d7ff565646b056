import type { IpAddress } from '../address/ip.ts';

/** An address within one network; '' is the default network. */
export interface NetworkAddress {
  readonly network: string;
  readonly ip: IpAddress;
}
