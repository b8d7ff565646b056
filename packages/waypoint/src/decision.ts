import type { HostPort } from '@ambit/common/address/host-port';
import type { Listener, ListenerPort } from '@ambit/common/model/listener';
import type { Workload } from '@ambit/common/model/workload';

/** Where a tunnel wants to go, as far as this waypoint serves it. All variants carry all keys, in this order. */
export type Destination =
  | {
      readonly kind: 'service';
      readonly address: HostPort;
      readonly listener: Listener;
      readonly port: ListenerPort;
      readonly workload: undefined;
      readonly status: 200;
      readonly detail: string;
    }
  | {
      /** A workload bound to this waypoint, addressed by its own IP. */
      readonly kind: 'workload';
      readonly address: HostPort;
      readonly listener: undefined;
      readonly port: undefined;
      readonly workload: Workload;
      readonly status: 200;
      readonly detail: string;
    }
  | {
      readonly kind: 'refused';
      readonly address: HostPort | undefined;
      readonly listener: undefined;
      readonly port: undefined;
      readonly workload: undefined;
      /** What the CONNECT is answered. */
      readonly status: 400 | 404;
      /** For the log: what was asked, and why it is not served. */
      readonly detail: string;
    };

export type ServedDestination = Exclude<Destination, { kind: 'refused' }>;

/** What the first bytes of a tunnel are. All variants carry all keys, in this order. */
export type Sniffed =
  | { readonly kind: 'more'; readonly sni: undefined }
  | { readonly kind: 'http1'; readonly sni: undefined }
  | { readonly kind: 'http2'; readonly sni: undefined }
  | { readonly kind: 'tls'; readonly sni: string | undefined }
  | { readonly kind: 'opaque'; readonly sni: undefined };
