import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parseIp } from '@ambit/common/address/ip';
import { type KubeObject, objectKey } from '@ambit/controlplane/collections/object';
import { AddressPool, type AddressPair, type AddressRange, addressPair, numberIn } from '../address-pool.ts';
import { number, record, text, texts } from '../fields.ts';

/**
 * Gives Services their cluster IPs and remembers them in a file, so that a Service keeps its address over restarts, and also while its YAML
 * is broken or gone for a while.
 */
export class ClusterIps {
  readonly #file: string;
  readonly #range: AddressRange;
  readonly #pool: AddressPool;
  readonly #numbers = new Map<string, number>();

  constructor(file: string, range: AddressRange) {
    this.#file = file;
    this.#range = range;
    this.#pool = new AddressPool(range);
    for (const [key, value] of Object.entries(readNumbers(file))) {
      const taken = this.#pool.reserve(addressPair(range, value).v4);
      if (taken) this.#numbers.set(key, value);
    }
  }

  /** The Service with `clusterIP`, `clusterIPs` and `ipFamilies`; headless and ExternalName Services and other kinds as they are. */
  admit(object: KubeObject): KubeObject {
    if (object.kind !== 'Service') return object;
    const spec = record(object.spec);
    if (spec['clusterIP'] === 'None' || spec['type'] === 'ExternalName') return object;
    const pair = this.#pairOf(object, text(spec['clusterIP']));
    const families = wantedFamilies(spec, pair);
    const ips = families.flatMap((one) => (one === 'IPv6' ? (pair.v6 ?? []) : pair.v4));
    return {
      ...object,
      spec: { ...spec, clusterIP: ips[0], clusterIPs: ips, ipFamilies: families, type: spec['type'] ?? 'ClusterIP' },
    };
  }

  #pairOf(object: KubeObject, written: string | undefined): AddressPair {
    const key = objectKey('Service', object.metadata.namespace, object.metadata.name);
    const wanted = written === undefined ? undefined : parseIp(written);
    const chosen = wanted === undefined ? undefined : numberIn(this.#range, wanted);
    const known = this.#numbers.get(key);
    if (chosen !== undefined && chosen !== known && wanted !== undefined && this.#pool.reserve(wanted))
      return this.#keep(key, chosen);
    if (known !== undefined) return addressPair(this.#range, known);
    return this.#keep(key, numberIn(this.#range, this.#pool.take().v4) ?? 0);
  }

  #keep(key: string, value: number): AddressPair {
    const before = this.#numbers.get(key);
    if (before !== undefined) this.#pool.free(addressPair(this.#range, before));
    this.#numbers.set(key, value);
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(Object.fromEntries(this.#numbers), undefined, 1)}\n`, {
      mode: 0o600,
    });
    renameSync(`${this.#file}.new`, this.#file);
    return addressPair(this.#range, value);
  }
}

/** Kubernetes' rule: one family, the first or the one written, unless two are asked for and there. */
function wantedFamilies(spec: Record<string, unknown>, pair: AddressPair): string[] {
  const both = pair.v6 === undefined ? ['IPv4'] : ['IPv4', 'IPv6'];
  const written = texts(spec['ipFamilies']).filter((one) => both.includes(one));
  const dual = spec['ipFamilyPolicy'] === 'PreferDualStack' || spec['ipFamilyPolicy'] === 'RequireDualStack';
  const order = [...new Set([...written, ...both])];
  return dual ? order : order.slice(0, Math.max(1, written.length));
}

function readNumbers(file: string): Record<string, number> {
  try {
    const entries = Object.entries(record(JSON.parse(readFileSync(file, 'utf8'))));
    return Object.fromEntries(
      entries.flatMap(([key, value]) => (number(value) === undefined ? [] : [[key, number(value) ?? 0]])),
    );
  } catch {
    return {}; // ENOENT at the first start; SyntaxError after a crash of the machine: addresses are given anew
  }
}
