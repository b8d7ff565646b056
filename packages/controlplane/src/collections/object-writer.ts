import type { KubeObject } from './object.ts';

/** Where the control plane writes what it decides: the API server, or the state folder of a standalone mesh. */
export interface ObjectWriter {
  /** Creates or replaces an object of ours (server-side apply). Rejects with a MeshError CONFIG when it is refused. */
  apply(object: KubeObject, fieldManager: string): Promise<void>;
  /** Replaces the named keys of the object's status, null removes one; nothing happens when they are equal already or the object is gone. */
  patchStatus(
    kind: string,
    namespace: string | undefined,
    name: string,
    status: Record<string, unknown>,
  ): Promise<void>;
  delete(kind: string, namespace: string | undefined, name: string): Promise<void>;
}
