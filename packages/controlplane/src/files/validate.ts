import { type Kind, kindOf, KINDS } from '@ambit/common/model/kinds';
import type { KubeObject } from '../collections/object.ts';
import { type ParsedDocument, parseYaml, type SourceError } from './parse.ts';
import { found, isRecord, newReport, type Path, type Problem } from './schema/schema.ts';
import { KIND_CHECKS } from './schema/table.ts';
import { metadata } from './schema/metadata.ts';
import { readObject } from './schema/object.ts';
import type { MetadataPatch } from './state-folder.ts';

/** What a file holds; the objects may be used only when there are no errors. */
export interface Validated {
  readonly objects: readonly LocatedObject[];
  readonly errors: readonly SourceError[];
  readonly warnings: readonly SourceError[];
}

export interface LocatedObject {
  readonly object: KubeObject;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly warnings: readonly SourceError[];
}

/** The errors of a refused file or request, each with its place. */
export class ValidationErrors extends Error {
  readonly errors: readonly SourceError[];

  constructor(errors: readonly SourceError[]) {
    super(errors.map(formatSourceError).join('\n'));
    this.name = 'ValidationErrors';
    this.errors = errors;
  }
}

/** `file:line:column: field: message`. */
export const formatSourceError = (error: SourceError): string =>
  `${error.file}:${error.line}:${error.column}: ${error.field === '' ? '' : `${error.field}: `}${error.message}`;

/** Parses and checks a YAML stream. Every problem of the file is found in one go. */
export function validateText(text: string, file: string): Validated {
  const { documents, errors } = parseYaml(text, file);
  const result = { objects: new Array<LocatedObject>(), errors: [...errors], warnings: new Array<SourceError>() };
  for (const document of documents) validateDocument(document, file, result);
  return result;
}

interface Sink {
  readonly objects: LocatedObject[];
  readonly errors: SourceError[];
  readonly warnings: SourceError[];
}

function validateDocument(document: ParsedDocument, file: string, sink: Sink): void {
  const place = (problem: Problem): SourceError => ({
    file,
    ...document.locate(problem.path, problem.at),
    field: formatPath(problem.path),
    message: problem.message,
  });
  const { value } = document;
  if (!isRecord(value)) {
    sink.errors.push(
      place({ path: [], at: 'value', message: `expected an object with apiVersion and kind, found ${found(value)}` }),
    );
    return;
  }
  if (value['kind'] === 'List' && Array.isArray(value['items'])) {
    value['items'].forEach((item: unknown, i) => validateDocument(itemOf(document, item, i), file, sink));
    return;
  }
  const kind = identify(value, (problem) => sink.errors.push(place(problem)));
  if (kind === undefined) return;
  const report = newReport(true);
  KIND_CHECKS[kind.kind]?.check(value, report);
  sink.errors.push(...report.errors.map(place));
  const warnings = report.warnings.map(place);
  sink.warnings.push(...warnings);
  if (report.errors.length === 0)
    sink.objects.push({ object: readObject(value, kind), file, ...document.locate([], 'value'), warnings });
}

/** One item of a `kind: List`, located within the list's document. */
function itemOf(list: ParsedDocument, value: unknown, index: number): ParsedDocument {
  return { value, locate: (path, at) => list.locate(['items', index, ...path], at) };
}

function identify(value: Record<string, unknown>, refuse: (problem: Problem) => void): Kind | undefined {
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string') {
    refuse({
      path: ['apiVersion'],
      at: 'value',
      message: `expected an apiVersion such as v1, found ${found(apiVersion)}`,
    });
    return undefined;
  }
  if (typeof kind !== 'string') {
    refuse({ path: ['kind'], at: 'value', message: `expected a kind such as Service, found ${found(kind)}` });
    return undefined;
  }
  const row = kindOf(apiVersion, kind);
  if (row !== undefined) return row;
  const named = KINDS.find((one) => one.kind === kind);
  if (named === undefined)
    refuse({
      path: ['kind'],
      at: 'value',
      message: `unknown kind ${kind}; expected one of ${KINDS.map((one) => one.kind).join(', ')}`,
    });
  else {
    const versions = named.versions.map((version) => (named.group === '' ? version : `${named.group}/${version}`));
    refuse({
      path: ['apiVersion'],
      at: 'value',
      message: `a ${kind} expects apiVersion ${versions.join(' or ')}, found ${apiVersion}`,
    });
  }
  return undefined;
}

/** `spec.ports[0].name`, with keys that hold a dot in brackets. */
export const formatPath = (path: Path): string =>
  path
    .map((step, i) => {
      if (typeof step === 'number') return `[${step}]`;
      if (!/^[\w-]+$/.test(step)) return `[${JSON.stringify(step)}]`;
      return i === 0 ? step : `.${step}`;
    })
    .join('');

/** What an object that was stored before says without effect; `file` names it, as its text is not kept. */
export function warningsOf(object: KubeObject, file: string): SourceError[] {
  const report = newReport(true);
  KIND_CHECKS[object.kind]?.check({ ...object }, report);
  return report.warnings.map((one) => ({
    file,
    line: 1,
    column: 1,
    field: formatPath(one.path),
    message: one.message,
  }));
}

/** The errors of labels and annotations that someone sets, as `apply` would find them; `what` names the object. */
export function checkMetadataPatch(patch: MetadataPatch, what: string): SourceError[] {
  const report = newReport(true);
  metadata.check(
    { name: 'any', labels: present(patch.labels), annotations: present(patch.annotations) },
    ['metadata'],
    report,
  );
  return report.errors.map((one) => ({
    file: what,
    line: 1,
    column: 1,
    field: formatPath(one.path),
    message: one.message,
  }));
}

const present = (values: Readonly<Record<string, string | null>> | undefined): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value !== null));
