import { findKind, type Kind, KINDS } from '@ambit/common/model/kinds';
import { ApiClient } from '@ambit/standalone/api/client';
import type { CliConfig } from './config.ts';
import { type FlagValues, UsageError } from './command.ts';

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
}

/** The kind a person means, or a UsageError that names those there are. */
export function needKind(word: string): Kind {
  const kind = findKind(word);
  if (kind === undefined) {
    throw new UsageError(
      `the mesh has no kind "${word}"; kinds are: waypoints, ${KINDS.map((one) => one.plural).join(', ')}`,
    );
  }
  return kind;
}

export const GATEWAY: Kind = needKind('gateway');
export const NAMESPACE: Kind = needKind('namespace');
export const POD: Kind = needKind('pod');
