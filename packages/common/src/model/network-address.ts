import type { Cidr } from '../address/cidr.ts';
import type { IpAddress } from '../address/ip.ts';

/** An address within one network; '' is the default network. */
export interface NetworkAddress {
  readonly network: string;
  readonly ip: IpAddress;
}

/** A range of addresses within one network. */
export interface CidrAddress {
  readonly network: string;
  readonly cidr: Cidr;
}
