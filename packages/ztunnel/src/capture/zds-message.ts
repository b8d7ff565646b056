import { closeSync } from 'node:fs';
import { type Netns, netnsFromFd } from '@ambit/common/linux/netns';
import { MeshError } from '@ambit/common/errors';
import { message, type Unset } from '@ambit/common/proto/load';
import type { PodEvent } from './pod-event.ts';

/** Both ends read packets into so many bytes. */
export const PACKET_BYTES = 1024;

interface WireRequest {
  readonly add:
    | {
        readonly uid: string;
        readonly workloadInfo:
          | { readonly name: string; readonly namespace: string; readonly serviceAccount: string }
          | Unset;
      }
    | Unset;
  readonly del: { readonly uid: string } | Unset;
  readonly keep: { readonly uid: string } | Unset;
  readonly snapshotSent: object | Unset;
}

const REQUEST = message<WireRequest>('istio.workload.zds.WorkloadRequest');
const HELLO = message<{ readonly version: number }>('istio.workload.zds.ZdsHello');
const RESPONSE = message<{ readonly ack: { readonly error: string } }>('istio.workload.zds.WorkloadResponse');

/** `ZdsHello{V1}`. */
export const encodeHello = (): Uint8Array => HELLO.encode({ version: 1 });

/** An acknowledgement; with an error a refusal, its text cut to what the peer can read. */
export function encodeAck(error = ''): Uint8Array {
  const room = PACKET_BYTES - 16;
  const text =
    Buffer.byteLength(error) <= room
      ? error
      : `${Buffer.from(error)
          .subarray(0, room - 4)
          .toString('utf8')}…`;
  return RESPONSE.encode({ ack: { error: text } });
}

/** What is done with received descriptors: replaced in tests. */
export interface FdOwner {
  /** Takes the descriptor over, and closes it when it is no network namespace. */
  netns(fd: number): Netns;
  close(fd: number): void;
}

const REAL_FDS: FdOwner = { netns: (fd) => netnsFromFd(fd, 'the descriptor of the pod'), close: closeSync };

/**
 * Reads one packet and the descriptors that came with it, which are closed unless the event carries them on.
 * @throws MeshError CONFIG when it breaks the protocol.
 */
export function parsePacket(bytes: Uint8Array, fds: readonly number[], owner: FdOwner = REAL_FDS): PodEvent {
  const left = [...fds];
  try {
    const request = REQUEST.decode(bytes);
    const { add } = request;
    if (add) return readAdd(add, left, owner);
    if (left.length > 0) throw refuse(`${left.length} file descriptors came with a message that takes none`);
    return readOther(request);
  } finally {
    left.forEach((fd) => owner.close(fd));
  }
}

function readAdd(add: NonNullable<WireRequest['add']>, left: number[], owner: FdOwner): PodEvent {
  if (left.length > 1)
    throw refuse(
      `pod ${add.uid} was added with ${left.length} file descriptors instead of that of its network namespace`,
    );
  const fd = left.pop();
  if (fd === undefined) throw refuse(`pod ${add.uid} was added without a file descriptor of its network namespace`);
  const { workloadInfo } = add;
  const info = workloadInfo
    ? {
        uid: add.uid,
        name: workloadInfo.name,
        namespace: workloadInfo.namespace,
        serviceAccount: workloadInfo.serviceAccount,
      }
    : undefined;
  return { kind: 'add', uid: add.uid, info, netns: owner.netns(fd) };
}

function readOther({ del, keep, snapshotSent }: WireRequest): PodEvent {
  if (del) return { kind: 'del', uid: del.uid };
  if (keep) return { kind: 'keep', uid: keep.uid };
  if (snapshotSent) return { kind: 'snapshot-sent' };
  throw refuse('the message has no payload');
}

const refuse = (why: string): MeshError => new MeshError('CONFIG', why);
