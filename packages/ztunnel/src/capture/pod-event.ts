import type { Netns } from '@ambit/common/linux/netns';
import type { PodInfo } from '../local-workload.ts';

/** What a source of pods (the CNI) says. */
export type PodEvent =
  /** A pod joins the mesh; without `info` the source broke the protocol. The receiver owns the namespace. */
  | { readonly kind: 'add'; readonly uid: string; readonly info: PodInfo | undefined; readonly netns: Netns }
  /** A pod known before a reconnect is still there. */
  | { readonly kind: 'keep'; readonly uid: string }
  | { readonly kind: 'del'; readonly uid: string }
  /** Every pod of the node has been named. */
  | { readonly kind: 'snapshot-sent' };

/** What became of an event. Fatal: the protocol is broken beyond repair, the program has to start anew. */
export type EventOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: string }
  | { readonly kind: 'fatal'; readonly error: string };
