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

type Cut = (error: MeshError) => void;

/** One remembered connection. */
export interface LiveEntry {
  readonly connection: LiveConnection;
  /** Ends the connection at once; replaced when the connection reaches its next stage. */
  cut: Cut;
}

/** The open connections of one pod: shown in dumps, waited for in a graceful drain, cut at its end. */
export class LiveConnections {
  readonly #inbound = new Set<LiveEntry>();
  readonly #outbound = new Set<LiveEntry>();

  /** Remembers the connection until it is removed; `cut` ends it at once. */
  add(direction: 'inbound' | 'outbound', connection: LiveConnection, cut: Cut): LiveEntry {
    const entry = { connection, cut };
    (direction === 'inbound' ? this.#inbound : this.#outbound).add(entry);
    return entry;
  }

  remove(entry: LiveEntry): void {
    this.#inbound.delete(entry);
    this.#outbound.delete(entry);
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

const shown = ({ connection }: LiveEntry): unknown => ({
  actualDst: formatHostPort(connection.actualDst.ip, connection.actualDst.port),
  originalDst: connection.originalDst,
  protocol: connection.protocol,
  src: formatHostPort(connection.src.ip, connection.src.port),
});
