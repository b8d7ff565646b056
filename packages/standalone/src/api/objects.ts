import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FolderSource } from '@ambit/controlplane/files/folder-source';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import type { ObjectStore } from '@ambit/controlplane/collections/object-store';
import { isRecord } from '../fields.ts';
import { ApiError, readText, sendJson, statusObject } from './answer.ts';
import { type LabelSelector, parseLabelSelector } from './label-selector.ts';
import type { ObjectPath } from './paths.ts';

export interface ObjectRoutesOptions {
  readonly store: ObjectStore;
  readonly source: Pick<FolderSource, 'merge' | 'delete'>;
  /** Ends a pod that runs, in its own time; false when none runs under this name. */
  readonly endPod: (namespace: string, name: string) => boolean;
}

const MAX_PATCH_BYTES = 1024 * 1024;
/** A watcher that does not read is cut off instead of filling memory. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

/** GET, watch, PATCH and DELETE of objects, with Kubernetes' paths and answers. */
export class ObjectRoutes {
  readonly #options: ObjectRoutesOptions;

  constructor(options: ObjectRoutesOptions) {
    this.#options = options;
  }

  async handle(
    path: ObjectPath,
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    if (path.subresource !== undefined)
      throw new ApiError(404, `${path.kind.plural} have no "${path.subresource}" here`);
    switch (request.method ?? '') {
      case 'GET':
        return this.#get(path, response, query);
      case 'PATCH':
        return sendJson(response, 200, this.#merge(path, await readText(request, MAX_PATCH_BYTES)));
      case 'DELETE':
        await this.#delete(path);
        return sendJson(response, 200, statusObject(200, `${path.kind.plural} "${path.name ?? ''}" deleted`));
      default:
        throw new ApiError(405, `${request.method ?? ''} is not possible on ${path.kind.plural}`);
    }
  }

  #get(path: ObjectPath, response: ServerResponse, query: URLSearchParams): void {
    if (path.name !== undefined) return sendJson(response, 200, this.#need(path));
    const selector = parseLabelSelector(query.get('labelSelector') ?? '');
    if (selector === undefined) throw new ApiError(400, `"${query.get('labelSelector') ?? ''}" is no label selector`);
    const meant = (object: KubeObject): boolean => isMeant(object, path, selector);
    if (query.get('watch') === 'true') return this.#watch(path, meant, response);
    const items = [...this.#options.store.list(path.kind.kind)].filter(meant).sort(byName);
    sendJson(response, 200, { kind: 'List', apiVersion: 'v1', items });
  }

  #watch(path: ObjectPath, meant: (object: KubeObject) => boolean, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const send = (type: string, object: KubeObject): void => {
      if (response.writableLength > MAX_UNREAD_BYTES) response.destroy();
      else response.write(`${JSON.stringify({ type, object })}\n`);
    };
    for (const object of [...this.#options.store.list(path.kind.kind)].filter(meant).sort(byName))
      send('ADDED', object);
    const unsubscribe = this.#options.store.subscribe((changes) => {
      for (const { kind, object, previous } of changes) {
        if (kind !== path.kind.kind) continue;
        const before = previous !== undefined && meant(previous);
        const after = object !== undefined && meant(object);
        if (after) send(before ? 'MODIFIED' : 'ADDED', object);
        else if (before) send('DELETED', previous);
      }
    });
    response.once('close', unsubscribe);
  }

  #merge(path: ObjectPath, body: string): KubeObject {
    const patch = readMetadataPatch(body);
    this.#need(path);
    const merged = this.#options.source.merge(path.kind.kind, path.namespace, path.name ?? '', patch);
    if (merged === undefined) throw notFound(path);
    return merged;
  }

  async #delete(path: ObjectPath): Promise<void> {
    const { kind, metadata } = this.#need(path);
    if (kind === 'Pod' && this.#options.endPod(metadata.namespace ?? '', metadata.name)) return;
    await this.#options.source.delete(kind, metadata.namespace, metadata.name);
  }

  #need(path: ObjectPath): KubeObject {
    const object = this.#options.store.get(path.kind.kind, path.namespace, path.name ?? '');
    if (object === undefined) throw notFound(path);
    return object;
  }
}

const notFound = (path: ObjectPath): ApiError =>
  new ApiError(
    404,
    `${path.kind.plural}${path.kind.group === '' ? '' : `.${path.kind.group}`} "${path.name ?? ''}" not found${path.namespace === undefined ? '' : ` in namespace "${path.namespace}"`}`,
  );

const isMeant = (object: KubeObject, path: ObjectPath, selector: LabelSelector): boolean =>
  (path.namespace === undefined || object.metadata.namespace === path.namespace) &&
  selector(object.metadata.labels ?? {});

const byName = (a: KubeObject, b: KubeObject): number =>
  compare(a.metadata.namespace ?? '', b.metadata.namespace ?? '') || compare(a.metadata.name, b.metadata.name);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

type TextPatch = Readonly<Record<string, string | null>>;

/** Labels and annotations of a merge patch (RFC 7396); nothing else may be patched. */
function readMetadataPatch(body: string): { labels?: TextPatch; annotations?: TextPatch } {
  const patch = parseJson(body);
  const metadata = isRecord(patch) ? patch['metadata'] : undefined;
  if (!isRecord(patch) || !isRecord(metadata))
    throw new ApiError(422, 'a patch has the form {"metadata": {"labels": {…}}}');
  const other = [
    ...Object.keys(patch).filter((key) => key !== 'metadata'),
    ...Object.keys(metadata)
      .filter((key) => key !== 'labels' && key !== 'annotations')
      .map((key) => `metadata.${key}`),
  ];
  if (other.length > 0)
    throw new ApiError(422, `only labels and annotations can be patched, not ${other.join(', ')}: use apply`);
  return {
    ...(metadata['labels'] === undefined ? {} : { labels: textPatch(metadata['labels'], 'labels') }),
    ...(metadata['annotations'] === undefined
      ? {}
      : { annotations: textPatch(metadata['annotations'], 'annotations') }),
  };
}

function textPatch(value: unknown, field: string): TextPatch {
  if (!isRecord(value)) throw new ApiError(422, `metadata.${field} is a map of strings`);
  const entries = Object.entries(value).map(([key, item]): [string, string | null] => {
    if (typeof item !== 'string' && item !== null)
      throw new ApiError(422, `metadata.${field}.${key}: expected a string, or null to remove it`);
    return [key, item];
  });
  return Object.fromEntries(entries);
}

export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new ApiError(400, `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}
