import { KINDS, type Kind } from '@ambit/common/model/kinds';

/** What a path of Kubernetes' form names. */
export interface ObjectPath {
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/**
 * Reads `/api/v1/…` and `/apis/{group}/{version}/…`; undefined when the path is of another form or names a kind that is not served.
 * Every version of a kind leads to the same objects.
 */
export function parseObjectPath(path: string): ObjectPath | undefined {
  const words = decodeAll(FORM.exec(path)?.slice(1));
  if (words === undefined) return undefined;
  const [group = '', version = '', namespace, plural = '', name, subresource] = words;
  const kind = findByPath(group, version, plural);
  if (kind === undefined) return undefined;
  // one object of a namespaced kind needs its namespace, an object of the whole cluster has none
  const fits = namespace === undefined ? !kind.namespaced || name === undefined : kind.namespaced;
  return fits ? { kind, namespace, name, subresource } : undefined;
}

/** Group, version, namespace, plural, name, subresource. A namespace itself is the plural `namespaces`. */
const FORM = /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+)(?=\/))?\/([^/]+)(?:\/([^/]+)(?:\/([^/]+))?)?$/;

const findByPath = (group: string, version: string, plural: string): Kind | undefined =>
  KINDS.find((kind) => kind.group === group && kind.plural === plural && kind.versions.includes(version));

function decodeAll(words: (string | undefined)[] | undefined): (string | undefined)[] | undefined {
  try {
    return words?.map((word) => (word === undefined ? undefined : decodeURIComponent(word)));
  } catch {
    return undefined; // URIError: a stray percent sign, which no name has
  }
}
