import { type Cidr, parseCidr } from '@ambit/common/address/cidr';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import type { GatewayAddress } from '@ambit/common/model/waypoint';
import { isMapping } from './local-config.ts';

/** Reads the fields of one YAML mapping; what is not read is refused, so that nothing is written in vain. */
export class Fields {
  readonly path: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #unread: Set<string>;

  constructor(value: unknown, path: string) {
    if (!isMapping(value)) throw bad(path, value, 'a mapping of fields');
    this.path = path;
    this.#values = value;
    this.#unread = new Set(Object.keys(value));
  }

  /** @throws MeshError CONFIG naming the fields that nobody has read. */
  done(): void {
    if (this.#unread.size > 0)
      throw new MeshError('CONFIG', `${this.path}: unknown fields ${[...this.#unread].join(', ')}`);
  }

  text(name: string, fallback?: string): string {
    return this.#read(name, fallback, 'text', (value) => (typeof value === 'string' ? value : undefined));
  }

  number(name: string, fallback?: number): number {
    return this.#read(name, fallback, 'a whole number', wholeNumber);
  }

  flag(name: string): boolean {
    return this.#read(name, false, 'true or false', (value) => (typeof value === 'boolean' ? value : undefined));
  }

  choice<T extends string>(name: string, fallback: T, values: readonly T[]): T {
    return this.#read(name, fallback, values.join(', '), (value) => values.find((one) => one === value));
  }

  /** Entries of a list; none when it is not there. */
  list<T>(name: string, read: (value: unknown, path: string) => T): T[] {
    const values = this.#read<readonly unknown[]>(name, [], 'a list', (value) =>
      Array.isArray(value) ? value : undefined,
    );
    return values.map((value, index) => read(value, `${this.path}.${name}[${index}]`));
  }

  /** Entries of a mapping with any keys. */
  entries<T>(name: string, read: (value: unknown, path: string) => T): [string, T][] {
    const values = this.#read(name, {}, 'a mapping', (value) => (isMapping(value) ? value : undefined));
    return Object.entries(values).map(([key, value]) => [key, read(value, `${this.path}.${name}.${key}`)]);
  }

  optional<T>(name: string, read: (value: unknown, path: string) => T): T | undefined {
    this.#unread.delete(name);
    const value = this.#values[name];
    return value === undefined || value === null ? undefined : read(value, `${this.path}.${name}`);
  }

  #read<T>(name: string, fallback: T | undefined, accepts: string, read: (value: unknown) => T | undefined): T {
    const found = this.optional(name, (value, path) => read(value) ?? fail(path, value, accepts)) ?? fallback;
    return found ?? fail(`${this.path}.${name}`, undefined, accepts);
  }
}

const wholeNumber = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;

const bad = (path: string, value: unknown, accepts: string): MeshError =>
  new MeshError('CONFIG', `${path}=${JSON.stringify(value) ?? 'nothing'} (accepted: ${accepts})`);

function fail(path: string, value: unknown, accepts: string): never {
  throw bad(path, value, accepts);
}

export const readText = (value: unknown, path: string): string =>
  typeof value === 'string' ? value : fail(path, value, 'text');

export const readPort = (value: unknown, path: string): number =>
  wholeNumber(value) ?? fail(path, value, 'a port number');

export const readIp = (value: unknown, path: string): IpAddress =>
  (typeof value === 'string' ? parseIp(value) : undefined) ?? fail(path, value, 'an IP address');

export const readCidr = (value: unknown, path: string): Cidr =>
  (typeof value === 'string' ? parseCidr(value) : undefined) ?? fail(path, value, 'an address range');

/** `network/ip`, as in the dump. */
export function readNetworkAddress(value: unknown, path: string): { network: string; ip: IpAddress } {
  const [network = '', ip] = readText(value, path).split('/', 2);
  return { network, ip: readIp(ip, path) };
}

/** `{destination: "network/ip" or "namespace/hostname", hboneMtlsPort}`. */
export function readGateway(value: unknown, path: string): GatewayAddress {
  const fields = new Fields(value, path);
  const destination = fields.text('destination');
  const port = fields.number('hboneMtlsPort');
  fields.done();
  const slash = destination.indexOf('/');
  const [before, after] = [destination.slice(0, Math.max(slash, 0)), destination.slice(slash + 1)];
  const ip = parseIp(after);
  return ip === undefined
    ? { destination: { kind: 'hostname', namespace: before, hostname: after }, port }
    : { destination: { kind: 'address', address: { network: before, ip } }, port };
}
