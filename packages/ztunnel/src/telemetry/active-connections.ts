import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';

/** One open connection, as `/config_dump` shows it. */
export interface ActiveConnection {
  readonly src: HostPort;
  /** Outbound: where the application wanted to go. Inbound: the service that the peer named, or nothing. */
  readonly originalDst: string | null;
  readonly actualDst: HostPort;
  readonly protocol: 'TCP' | 'HBONE' | 'DOUBLEHBONE';
}

/** The open connections of one pod. */
export class ActiveConnections {
  readonly #inbound = new Set<ActiveConnection>();
  readonly #outbound = new Set<ActiveConnection>();

  /** Remembers the connection until the function returned is called. */
  add(direction: 'inbound' | 'outbound', connection: ActiveConnection): () => void {
    const set = direction === 'inbound' ? this.#inbound : this.#outbound;
    set.add(connection);
    return () => set.delete(connection);
  }

  get count(): number {
    return this.#inbound.size + this.#outbound.size;
  }

  /** Istio's form. */
  dump(): { inbound: unknown[]; outbound: unknown[] } {
    return { inbound: [...this.#inbound].map(shown), outbound: [...this.#outbound].map(shown) };
  }
}

const shown = (connection: ActiveConnection): unknown => ({
  actualDst: formatHostPort(connection.actualDst.ip, connection.actualDst.port),
  originalDst: connection.originalDst,
  protocol: connection.protocol,
  src: formatHostPort(connection.src.ip, connection.src.port),
});
