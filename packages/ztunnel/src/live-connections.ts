import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import type { MeshError } from '@ambit/common/errors';

/** One open connection, as `/config_dump` shows it. */
export interface LiveConnection {
  readonly src: HostPort;
  /** Outbound: where the application wanted to go. Inbound: the service that the peer named, or nothing. */
  readonly originalDst: string | null;
  readonly actualDst: HostPort;
  readonly protocol: 'TCP' | 'HBONE' | 'DOUBLEHBONE';
}

interface Entry {
  readonly connection: LiveConnection;
  readonly cut: (error: MeshError) => void;
}

/** The open connections of one pod: shown in dumps, waited for in a graceful drain, cut at its end. */
export class LiveConnections {
  readonly #inbound = new Set<Entry>();
  readonly #outbound = new Set<Entry>();

  /** Remembers the connection until the function returned is called; `cut` ends it at once. */
  add(direction: 'inbound' | 'outbound', connection: LiveConnection, cut: Entry['cut']): () => void {
    const set = direction === 'inbound' ? this.#inbound : this.#outbound;
    const entry = { connection, cut };
    set.add(entry);
    return () => set.delete(entry);
  }

  get count(): number {
    return this.#inbound.size + this.#outbound.size;
  }

  cutAll(error: MeshError): void {
    for (const entry of [...this.#inbound, ...this.#outbound]) entry.cut(error);
  }

  /** Istio's form. */
  dump(): { readonly inbound: readonly unknown[]; readonly outbound: readonly unknown[] } {
    return { inbound: [...this.#inbound].map(shown), outbound: [...this.#outbound].map(shown) };
  }
}

const shown = ({ connection }: Entry): unknown => ({
  actualDst: formatHostPort(connection.actualDst.ip, connection.actualDst.port),
  originalDst: connection.originalDst,
  protocol: connection.protocol,
  src: formatHostPort(connection.src.ip, connection.src.port),
});
