/** Whether an object with these labels is meant. */
export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean;

const SET = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/;
const EQUALITY = /^([^\s=!]+)\s*(==|=|!=)\s*(\S*)$/;

/** Reads a selector as kubectl writes it (`a=b,c!=d,e in (f,g),!h`); undefined when it is none. */
export function parseLabelSelector(text: string): LabelSelector | undefined {
  const parts = text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const tests: LabelSelector[] = [];
  for (const part of parts) {
    const read = parseRequirement(part);
    if (read === undefined) return undefined;
    tests.push(read);
  }
  return (labels) => tests.every((test) => test(labels));
}

function parseRequirement(part: string): LabelSelector | undefined {
  const set = SET.exec(part);
  if (set !== null) {
    const [, key = '', operator, values = ''] = set;
    const wanted = new Set(values.split(',').map((value) => value.trim()));
    return (labels) => wanted.has(labels[key] ?? '\0') === (operator === 'in');
  }
  const equality = EQUALITY.exec(part);
  if (equality !== null) {
    const [, key = '', operator, value = ''] = equality;
    return (labels) => (labels[key] === value) === (operator !== '!=');
  }
  const presence = /^(!?)([^\s=!]+)$/.exec(part);
  if (presence === null) return undefined;
  const [, not = '', key = ''] = presence;
  return (labels) => (labels[key] !== undefined) === (not === '');
}
