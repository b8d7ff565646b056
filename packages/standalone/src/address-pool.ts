import { type IpAddress, ipFromBytes, ipToBytes } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';

/** The addresses of one pod or Service: the same number counted from the base of each family. */
export interface AddressPair {
  readonly v4: IpAddress;
  readonly v6: IpAddress | undefined;
}

/** A range of 65,536 numbers under an IPv4 /16 and the IPv6 prefix that mirrors it. */
export interface AddressRange {
  readonly v4Base: string;
  /** Undefined where the kernel has no IPv6. */
  readonly v6Base: string | undefined;
  /** Numbers below are not given out. */
  readonly first: number;
}

export const POD_RANGE: AddressRange = { v4Base: '10.244.0.0', v6Base: 'fd00:10:244::', first: 2 };
export const SERVICE_RANGE: AddressRange = { v4Base: '10.96.0.0', v6Base: 'fd00:10:96::', first: 16 };
const SIZE = 65_535;

/** The pair at a number of the range. */
export function addressPair(range: AddressRange, number: number): AddressPair {
  return {
    v4: offset(range.v4Base, number),
    v6: range.v6Base === undefined ? undefined : offset(range.v6Base, number),
  };
}

/** The number of an IPv4 address in the range; undefined when it lies outside. */
export function numberIn(range: AddressRange, ip: IpAddress): number | undefined {
  const bytes = ipToBytes(ip);
  const base = Buffer.from(range.v4Base.split('.').map(Number));
  if (bytes.length !== 4 || bytes[0] !== base[0] || bytes[1] !== base[1]) return undefined;
  return ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
}

/** Gives out numbers by a cursor that walks the range and wraps, so that a freed address is reused as late as possible. */
export class AddressPool {
  readonly #range: AddressRange;
  readonly #used = new Set<number>();
  #cursor: number;

  constructor(range: AddressRange) {
    this.#range = range;
    this.#cursor = range.first;
  }

  /** Throws MeshError LIMIT when the range is exhausted. */
  take(): AddressPair {
    for (let tried = this.#range.first; tried < SIZE; tried++) {
      const number = this.#cursor;
      this.#cursor = number + 1 >= SIZE ? this.#range.first : number + 1;
      if (this.#used.has(number)) continue;
      this.#used.add(number);
      return addressPair(this.#range, number);
    }
    throw new MeshError('LIMIT', `all addresses of ${this.#range.v4Base}/16 are in use`);
  }

  /** Marks a known address as used; false when it is outside the range or taken. */
  reserve(ip: IpAddress): boolean {
    const number = numberIn(this.#range, ip);
    if (number === undefined || this.#used.has(number)) return false;
    this.#used.add(number);
    return true;
  }

  free(pair: AddressPair): void {
    const number = numberIn(this.#range, pair.v4);
    if (number !== undefined) this.#used.delete(number);
  }
}

function offset(base: string, number: number): IpAddress {
  const bytes = Buffer.from(base.includes(':') ? v6Bytes(base) : base.split('.').map(Number));
  bytes.writeUInt16BE(bytes.readUInt16BE(bytes.length - 2) + number, bytes.length - 2);
  const ip = ipFromBytes(bytes);
  if (ip === undefined) throw new RangeError(`${base} is no address`);
  return ip;
}

function v6Bytes(base: string): Uint8Array {
  const groups = base.replace(/::$/, '').split(':');
  const bytes = Buffer.alloc(16);
  groups.forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2));
  return bytes;
}
