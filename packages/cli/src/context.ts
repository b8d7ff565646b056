import type { Kind } from '@ambit/common/model/kinds';
import { MeshError } from '@ambit/common/errors';
import { ApiClient, type KubeObject } from '@ambit/standalone/api/client';
import type { CliConfig } from './config.ts';
import type { FlagValues } from './command.ts';
import { needKind } from './kind-names.ts';
import { nearest } from './suggest.ts';

/** What every command needs: where the mesh is, which namespace is meant. */
export class Context {
  readonly stateDir: string;
  readonly #flags: FlagValues;
  #api: ApiClient | undefined;

  constructor(config: CliConfig, flags: FlagValues) {
    this.stateDir = flags.text('state') ?? config.stateDir;
    this.#flags = flags;
  }

  /** The namespace of -n, else `default`. */
  get namespace(): string {
    return this.#flags.text('namespace') ?? 'default';
  }

  /** Undefined with -A: all namespaces. */
  get listNamespace(): string | undefined {
    return this.#flags.has('all-namespaces') ? undefined : this.namespace;
  }

  /** The running mesh; its calls fail with an explanation when there is none. */
  get api(): ApiClient {
    this.#api ??= new ApiClient(`${this.stateDir}/api.sock`);
    return this.#api;
  }

  /** -n's namespace for kinds that have one. */
  namespaceOf(kind: Kind): string | undefined {
    return kind.namespaced ? this.namespace : undefined;
  }

  /** The object, or undefined when there is none of that name. */
  async find(kind: Kind, namespace: string | undefined, name: string): Promise<KubeObject | undefined> {
    try {
      return await this.api.get(kind, namespace, name);
    } catch (error) {
      if (error instanceof MeshError && / not found( in namespace "[^"]*")?$/.test(error.message)) return undefined;
      throw error;
    }
  }

  /** The object; when there is none, rejects with where it is instead or which names resemble it. */
  async need(kind: Kind, namespace: string | undefined, name: string): Promise<KubeObject> {
    const found = await this.find(kind, namespace, name);
    if (found !== undefined) return found;
    const group = kind.group === '' ? '' : `.${kind.group}`;
    const where = namespace === undefined ? '' : ` in namespace "${namespace}"`;
    const others = await this.api.list(kind, undefined);
    throw new MeshError('CONFIG', `${kind.plural}${group} "${name}" not found${where}${hint(others, namespace, name)}`);
  }
}

function hint(objects: readonly KubeObject[], namespace: string | undefined, name: string): string {
  const elsewhere = objects.filter((one) => one.metadata.name === name).map((one) => one.metadata.namespace);
  if (elsewhere.length > 0)
    return `; there is one in ${elsewhere.map((one) => `"${one}"`).join(' and ')}: choose it with -n`;
  const names = objects.filter((one) => one.metadata.namespace === namespace).map((one) => one.metadata.name);
  const near = nearest(name, names);
  return near.length === 0 ? '' : `; did you mean ${near.map((one) => `"${one}"`).join(' or ')}?`;
}

export const GATEWAY: Kind = needKind('gateway');
export const NAMESPACE: Kind = needKind('namespace');
export const POD: Kind = needKind('pod');
export const SERVICE: Kind = needKind('service');
export const SERVICE_ENTRY: Kind = needKind('serviceentry');
