import { closeSync } from 'node:fs';
import { MeshError } from '../errors.ts';
import { int32, libc, must } from './libc.ts';
import { type Netns, inNetns } from './netns.ts';
import { DescriptorPoll } from './poll.ts';
import { AF_PACKET, packetAddress } from './socket-address.ts';

const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ALL = 0x0003;
const MSG_TRUNC = 0x20;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_PROMISC = 1;
/** Larger than any frame with segmentation offload. */
const MAX_FRAME_BYTES = 65_600;
/** Frames read before the event loop gets a turn. */
const FRAMES_PER_TURN = 64;

/** A running capture. */
export interface PacketSocket {
  /** Reads what the kernel has queued, then ends. */
  close(): void;
}

/**
 * Hands every frame that crosses an interface, in both directions, to `onFrame`; the bytes are valid during the call
 * only. Needs CAP_NET_RAW in the namespace.
 * @throws MeshError CONFIG when there is no such interface.
 */
export function packetSocket(interfaceName: string, onFrame: (frame: Uint8Array) => void, netns?: Netns): PacketSocket {
  const fd = inNetns(netns, () => openPacketSocket(interfaceName));
  const buffer = Buffer.alloc(MAX_FRAME_BYTES);
  const poll = new DescriptorPoll(fd);
  const drain = (limit: number): void => {
    for (let count = 0; count < limit; count += 1) {
      const length = libc().recv(fd, buffer, MSG_TRUNC);
      if (length < 0) return;
      onFrame(buffer.subarray(0, Math.min(length, buffer.length)));
    }
  };
  const run = async (): Promise<void> => {
    while ((await poll.readable()) === 'ready') drain(FRAMES_PER_TURN);
  };
  void run();
  return {
    close: () => {
      if (poll.closed) return;
      drain(Number.MAX_SAFE_INTEGER);
      poll.close();
      closeSync(fd);
    },
  };
}

function openPacketSocket(interfaceName: string): number {
  const index = libc().interfaceIndex(interfaceName);
  if (index <= 0) throw new MeshError('CONFIG', `there is no interface ${interfaceName} in this network namespace`);
  // Protocol 0 until bound: otherwise frames of every interface would come first.
  const fd = must('open a packet socket', libc().socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  try {
    must(`capture on ${interfaceName}`, libc().bind(fd, packetAddress(index, ETH_P_ALL)));
    // Without it a bridge shows only what is meant for the machine itself, not what passes between its ports.
    const joined = libc().setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, promiscuous(index));
    must(`see all traffic of ${interfaceName}`, joined);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** struct packet_mreq: interface, type, and an address that this type has no use for. */
function promiscuous(interfaceIndex: number): Uint8Array {
  const request = new Uint8Array(16);
  request.set(int32(interfaceIndex), 0);
  request.set(new Uint8Array(Uint16Array.of(PACKET_MR_PROMISC).buffer), 4);
  return request;
}
