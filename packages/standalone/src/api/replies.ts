import { MeshError } from '@ambit/common/errors';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { list, number, record, records, text, textMap, texts } from '../fields.ts';
import type {
  ApplyResult,
  MeshStatus,
  PodTrouble,
  ProgramStatus,
  SourceProblem,
  SourceStatus,
  WatchEvent,
} from './contract.ts';

/** Readers of what the API answers: the wire's JSON becomes typed values, a foreign answer becomes one MeshError. */
export function readObject(body: string): KubeObject {
  return kubeObject(parse(body));
}

export const readObjects = (body: string): KubeObject[] => list(record(parse(body))['items']).map(kubeObject);

export function readWatchEvent(line: string): WatchEvent {
  const event = record(parse(line));
  const type = event['type'];
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') throw foreign(line);
  return { type, object: kubeObject(event['object']) };
}

export const readApplyResults = (body: string): ApplyResult[] =>
  records(record(parse(body))['results']).map((one) => ({
    kind: text(one['kind']) ?? '',
    namespace: text(one['namespace']),
    name: text(one['name']) ?? '',
    action: one['action'] === 'created' ? 'created' : one['action'] === 'configured' ? 'configured' : 'unchanged',
    warnings: texts(one['warnings']),
  }));

export const readProblems = (body: string): SourceProblem[] => records(record(parse(body))['errors']).map(problem);

export function readExitCode(body: string): number {
  return number(record(parse(body))['exitCode']) ?? 1;
}

export function readMeshStatus(body: string): MeshStatus {
  const value = record(parse(body));
  const pods = record(value['pods']);
  return {
    version: text(value['version']) ?? '',
    pid: number(value['pid']) ?? 0,
    startedAt: text(value['startedAt']) ?? '',
    rootless: value['rootless'] === true,
    stateDir: text(value['stateDir']) ?? '',
    settled: value['settled'] === true,
    waitingFor: texts(value['waitingFor']),
    sources: records(value['sources']).map(source),
    programs: records(value['programs']).map(program),
    pods: { total: number(pods['total']) ?? 0, ready: number(pods['ready']) ?? 0 },
    trouble: records(value['trouble']).map(trouble),
    notes: texts(value['notes']),
  };
}

const problem = (one: Record<string, unknown>): SourceProblem => ({
  file: text(one['file']) ?? '',
  line: number(one['line']) ?? 0,
  column: number(one['column']) ?? 0,
  field: text(one['field']) ?? '',
  message: text(one['message']) ?? '',
});

const source = (one: Record<string, unknown>): SourceStatus => ({
  folder: text(one['folder']) ?? '',
  errors: records(one['errors']).map(problem),
});

const program = (one: Record<string, unknown>): ProgramStatus => ({
  name: text(one['name']) ?? '',
  ready: one['ready'] === true,
  restarts: number(one['restarts']) ?? 0,
  detail: text(one['detail']) ?? '',
});

const trouble = (one: Record<string, unknown>): PodTrouble => ({
  namespace: text(one['namespace']) ?? '',
  name: text(one['name']) ?? '',
  reason: text(one['reason']) ?? '',
  message: text(one['message']) ?? '',
  lastLines: texts(one['lastLines']),
});

function kubeObject(value: unknown): KubeObject {
  const object = record(value);
  const { apiVersion, kind, metadata, ...rest } = object;
  const meta = record(metadata);
  const name = text(meta['name']);
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || name === undefined)
    throw foreign(JSON.stringify(value));
  const labels = meta['labels'] === undefined ? {} : { labels: textMap(meta['labels']) };
  const annotations = meta['annotations'] === undefined ? {} : { annotations: textMap(meta['annotations']) };
  return { ...rest, apiVersion, kind, metadata: { ...meta, name, ...labels, ...annotations } };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new MeshError('UPSTREAM_PROTOCOL', `the mesh answered something that is not JSON: ${body.slice(0, 100)}`, {
      cause: error,
    });
  }
}

const foreign = (body: string): MeshError =>
  new MeshError('UPSTREAM_PROTOCOL', `the mesh answered something unexpected: ${body.slice(0, 100)}`);
