import { parseCidr } from '@ambit/common/address/cidr';
import type { ValueMatcher } from '@ambit/common/model/policy';
import { isPathTemplate } from '../files/schema/path-template.ts';

/** How one attribute reads the literals of a policy. Undefined: the literal can match nothing. */
export type ReadValue = (text: string) => ValueMatcher | readonly ValueMatcher[] | undefined;

/** `*` anything that is there, `*x` suffix, `x*` prefix, else exact. */
export function stringValue(text: string, ignoreCase = false): ValueMatcher {
  if (text === '*') return { kind: 'presence' };
  if (text.startsWith('*')) return { kind: 'suffix', value: text.slice(1), ignoreCase };
  if (text.endsWith('*')) return { kind: 'prefix', value: text.slice(0, -1), ignoreCase };
  return { kind: 'exact', value: text, ignoreCase };
}

export const hostValue: ReadValue = (text) => stringValue(text, true);

/** A path with `{*}` or `{**}` is a template and never read as prefix or suffix. */
export const pathValue: ReadValue = (text) =>
  isPathTemplate(text) ? { kind: 'template', value: text, ignoreCase: false } : stringValue(text);

/** Namespaces may have `*` anywhere. */
export function namespaceValue(text: string): ValueMatcher {
  const inner = text.replace(/^\*/, '').replace(/\*$/, '');
  const plain = !inner.includes('*') && !(text.length > 1 && text.startsWith('*') && text.endsWith('*'));
  return plain ? stringValue(text) : { kind: 'glob', value: text, ignoreCase: false };
}

export const cidrValue: ReadValue = (text) => {
  const cidr = parseCidr(text);
  return cidr === undefined ? undefined : { kind: 'cidr', cidr };
};

export const portValue: ReadValue = (text) => {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  return port <= 65_535 ? { kind: 'port', port } : undefined;
};

/** `sa` means the policy's own namespace, `ns/sa` another. */
export const accountValue =
  (policyNamespace: string): ReadValue =>
  (text) => {
    const [first = '', second] = text.split('/');
    const [namespace, serviceAccount] = second === undefined ? [policyNamespace, first] : [first, second];
    return { kind: 'serviceAccount', namespace, serviceAccount };
  };

/** The trust domains that are one and the same mesh: its own, its aliases, and `cluster.local` in policies. */
export interface TrustDomains {
  readonly own: string;
  readonly aliases: readonly string[];
}

/** A principal `<trust domain>/ns/…` of this mesh stands for the same principal under every alias. */
export const principalValue =
  ({ own, aliases }: TrustDomains): ReadValue =>
  (text) => {
    const slash = text.indexOf('/');
    const domain = text.slice(0, slash);
    const mesh = [own, ...aliases];
    if (slash < 0 || (domain !== 'cluster.local' && !mesh.includes(domain))) return stringValue(text);
    return [...new Set(mesh)].map((one) => stringValue(one + text.slice(slash)));
  };
