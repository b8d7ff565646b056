/** What a line tells besides its message; `undefined` is left out. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** One line to be written. An empty message means an event of fields only. */
export interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly scope: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** Leading part of a scope that the plain form leaves out, as every line of that program would carry it. */
const PROGRAM_PREFIX = 'ztunnel::';

/** Control characters, quotes, backslashes, and the line and direction marks that can forge a line on a terminal. */
// oxlint-disable-next-line no-control-regex -- these are the characters looked for
const UNSAFE = /["\\\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const UNSAFE_ALL: RegExp = new RegExp(UNSAFE.source, 'g');
const NAMED_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** `<time>Z TAB level TAB scope TAB message TAB k=v k="s"`, the form of Istio's node agent. */
export function plainLine(line: LogLine): string {
  const scope = line.scope.startsWith(PROGRAM_PREFIX) ? line.scope.slice(PROGRAM_PREFIX.length) : line.scope;
  const message = line.message === '' ? '' : `${escapeText(line.message)}\t`;
  return `${line.time}\t${line.level}\t${scope}\t${message}${plainFields(line.fields)}`;
}

/** One JSON object: level, time, scope, message, then the fields in their order under flat names. */
export function jsonLine(line: LogLine): string {
  const head: Record<string, unknown> = { level: line.level, time: line.time, scope: line.scope };
  if (line.message !== '') head['message'] = line.message;
  return JSON.stringify(Object.assign(head, line.fields));
}

function plainFields(fields: LogFields | undefined): string {
  if (fields === undefined) return '';
  let text = '';
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    text += `${text === '' ? '' : ' '}${name}=${plainValue(name, value)}`;
  }
  return text;
}

/** Addresses (fields whose name ends in `addr`), numbers and booleans stand bare; other text is quoted. */
function plainValue(name: string, value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value);
  const bare = name.endsWith('addr') && value !== '' && !UNSAFE.test(value) && !value.includes(' ');
  return bare ? value : `"${escapeText(value)}"`;
}

function escapeText(text: string): string {
  if (!UNSAFE.test(text)) return text;
  return text.replace(
    UNSAFE_ALL,
    (character) => NAMED_ESCAPES[character] ?? `\\u{${character.charCodeAt(0).toString(16)}}`,
  );
}
