import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '../collections/object.ts';
import { digest, type StateFolder, type StatusRecord } from './state-folder.ts';

/** Kinds whose status lives only as long as the processes do. */
const EPHEMERAL = new Set(['Pod', 'Node', 'EndpointSlice']);

export const isEphemeral = (kind: string): boolean => EPHEMERAL.has(kind);

/** uid, creation time, generation and status of every object, kept over restarts. */
export class StatusRecords {
  readonly #folder: StateFolder;
  readonly #now: () => number;
  readonly #records: Map<string, StatusRecord>;

  constructor(folder: StateFolder, records: Map<string, StatusRecord>, now: () => number) {
    this.#folder = folder;
    this.#records = records;
    this.#now = now;
  }

  /** The object as a server would show it. Its generation grows when anything but metadata and status changed. */
  dress(key: string, object: KubeObject): KubeObject {
    const { metadata, status: _status, ...body } = object;
    const { uid, creationTimestamp, generation, status } = this.#recordFor(key, object, digest(body));
    const dressed = { ...object, metadata: { ...metadata, uid, creationTimestamp, generation } };
    return status === undefined || Object.keys(status).length === 0 ? dressed : { ...dressed, status };
  }

  #recordFor(key: string, object: KubeObject, spec: string): StatusRecord {
    const before = this.#records.get(key);
    if (before?.spec === spec) return before;
    const record =
      before === undefined ? this.#firstRecord(spec) : { ...before, generation: before.generation + 1, spec };
    this.#put(key, object, record);
    return record;
  }

  #firstRecord(spec: string): StatusRecord {
    const creationTimestamp = `${new Date(this.#now()).toISOString().slice(0, 19)}Z`;
    return { uid: randomUUID(), creationTimestamp, generation: 1, spec, status: undefined };
  }

  /** @returns false when the status says so already. */
  patch(key: string, object: KubeObject, status: Record<string, unknown>): boolean {
    const before = this.#records.get(key);
    if (before === undefined) return false;
    const next = Object.fromEntries(
      Object.entries({ ...before.status, ...status }).filter(([, value]) => value !== undefined && value !== null),
    );
    if (isDeepStrictEqual(next, before.status ?? {})) return false;
    this.#put(key, object, { ...before, status: next });
    return true;
  }

  forget(key: string): void {
    if (!this.#records.delete(key)) return;
    const [kind = '', namespace = '', name = ''] = key.split('/');
    this.#folder.writeStatus(kind, namespace === '' ? undefined : namespace, name, undefined);
  }

  keys(): string[] {
    return [...this.#records.keys()];
  }

  #put(key: string, object: KubeObject, record: StatusRecord): void {
    this.#records.set(key, record);
    if (isEphemeral(object.kind)) return;
    this.#folder.writeStatus(object.kind, object.metadata.namespace, object.metadata.name, record);
  }
}
