import type { KubeObject } from '@ambit/controlplane/collections/object';

/** What `apply` did to one object. */
export interface ApplyResult {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly action: 'created' | 'configured' | 'unchanged';
  /** What it says that has no effect here, each with its place. */
  readonly warnings?: readonly string[];
}

/** One thing that is wrong in YAML, where it stands. */
export interface SourceProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Path of the field, empty when the whole document is meant. */
  readonly field: string;
  readonly message: string;
}

/** One line of a watch. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
}

/** A pod that does not do what it should, with the last lines it printed. */
export interface PodTrouble {
  readonly namespace: string;
  readonly name: string;
  readonly reason: string;
  readonly message: string;
  readonly lastLines: readonly string[];
}

/** A program of the mesh itself. */
export interface ProgramStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restarts: number;
  readonly detail: string;
}

/** A folder that the mesh reads, with what is wrong in it. */
export interface SourceStatus {
  readonly folder: string;
  readonly errors: readonly SourceProblem[];
}

/** State of the mesh: `GET /ambit/v1/status`. */
export interface MeshStatus {
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly rootless: boolean;
  readonly stateDir: string;
  /** True when the node agent is ready and every pod runs, is done, or has a verdict. */
  readonly settled: boolean;
  /** What it still waits for, for people. */
  readonly waitingFor: readonly string[];
  readonly sources: readonly SourceStatus[];
  readonly programs: readonly ProgramStatus[];
  readonly pods: { readonly total: number; readonly ready: number };
  readonly trouble: readonly PodTrouble[];
  /** What could not be honoured in the objects, and leftovers of an earlier run that were removed. */
  readonly notes: readonly string[];
}
