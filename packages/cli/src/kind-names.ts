import { findKind, type Kind, KINDS } from '@ambit/common/model/kinds';
import { UsageError } from './command.ts';
import { didYouMean } from './suggest.ts';

/** What `ambit get all` shows: what people write, not what is made of it. */
const ALL = [
  'pods',
  'services',
  'deployments',
  'waypoints',
  'serviceentries',
  'destinationrules',
  'authorizationpolicies',
];

/** The kind a person means (`se`, `serviceentries`, `serviceentries.networking.istio.io`), or a UsageError that names those there are. */
export function needKind(word: string): Kind {
  const [name = '', ...group] = word.split('.');
  const kind = findKind(name);
  if (kind !== undefined && (group.length === 0 || group.join('.') === kind.group)) return kind;
  const known = KINDS.flatMap((one) => [one.plural, one.kind.toLowerCase()]);
  throw new UsageError(
    `the mesh has no kind "${word}"${didYouMean(word, ['waypoints', ...known]) || `; kinds are: waypoints, ${KINDS.map((one) => one.plural).join(', ')}`}`,
  );
}

/** Splits `get`'s words: `pods,svc a b`, or `pod/a svc/b`. Each result is a kind's word with the names asked for, none meaning all. */
export function splitKinds(words: readonly string[]): { word: string; names: string[] }[] {
  const [first = '', ...names] = words;
  if (!first.includes('/'))
    return first.split(',').flatMap((word) => (word === 'all' ? ALL : [word]).map((one) => ({ word: one, names })));
  const byKind = new Map<string, string[]>();
  for (const one of words) {
    const [word = '', name = '', ...more] = one.split('/');
    if (word === '' || name === '' || more.length > 0)
      throw new UsageError(`"${one}" is no KIND/NAME: with one such argument, all have that form`);
    byKind.set(word, [...(byKind.get(word) ?? []), name]);
  }
  return [...byKind].map(([word, named]) => ({ word, names: named }));
}
