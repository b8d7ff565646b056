import { endianness } from 'node:os';
import { closeSync } from 'node:fs';
import { libc } from './libc.ts';

/*
 * struct msghdr (56 bytes) with one iovec (16 bytes), for 64-bit Linux. Sizes of 32 bits in musl's version are followed
 * by padding that is zero here, so both C libraries read the same bytes on a little-endian machine.
 *
 *   0 name  8 namelen  16 iov ──► { base, length }  24 iovlen  32 control  40 controllen  48 flags
 *
 * Control data is one cmsghdr: { length 8, level 4, type 4 } and the descriptors, 4 bytes each.
 */
const HEADER_BYTES = 56;
const IOVEC_BYTES = 16;
const CMSG_HEADER_BYTES = 16;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** Room for more descriptors than anybody may send, so that a surplus is seen, and closed, rather than truncated. */
const MAX_FDS = 16;

const LITTLE = endianness() === 'LE';

/** One packet and the descriptors that came with it, which now belong to the receiver. */
export interface Message {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
  /** The packet or its descriptors did not fit; what is here is not all. */
  readonly truncated: boolean;
}

/** Sends one packet with descriptors, which stay open here. Gives the number of bytes or a negative errno; never blocks. */
export function sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[]): number {
  const block = messageBlock(bytes.length, fds.length === 0 ? 0 : align8(CMSG_HEADER_BYTES + 4 * fds.length));
  block.data.set(bytes);
  if (fds.length > 0) {
    const view = viewOf(block.control);
    view.setBigUint64(0, BigInt(CMSG_HEADER_BYTES + 4 * fds.length), LITTLE);
    view.setInt32(8, SOL_SOCKET, LITTLE);
    view.setInt32(12, SCM_RIGHTS, LITTLE);
    fds.forEach((one, index) => view.setInt32(CMSG_HEADER_BYTES + 4 * index, one, LITTLE));
  }
  return libc().sendmsg(fd, block.whole, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/** Receives one packet of at most `limit` bytes, or gives a negative errno; never blocks. No bytes and no descriptors: the peer has closed. */
export function receiveMessage(fd: number, limit: number): Message | number {
  const block = messageBlock(limit, align8(CMSG_HEADER_BYTES + 4 * MAX_FDS));
  const received = libc().recvmsg(fd, block.whole, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  const view = viewOf(block.whole);
  const fds = readDescriptors(block.control.subarray(0, Number(view.getBigUint64(40, LITTLE))));
  const truncated = (view.getInt32(48, LITTLE) & (MSG_TRUNC | MSG_CTRUNC)) !== 0;
  return { bytes: block.data.subarray(0, received), fds, truncated };
}

/** Closes received descriptors that nobody took. */
export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}

interface MessageBlock {
  readonly whole: Uint8Array;
  readonly control: Uint8Array;
  readonly data: Uint8Array;
}

/** One allocation for everything that points into each other, so that the one reference passed to the kernel keeps all of it alive. */
function messageBlock(dataBytes: number, controlBytes: number): MessageBlock {
  const controlAt = HEADER_BYTES + IOVEC_BYTES;
  const dataAt = controlAt + controlBytes;
  const whole = Buffer.alloc(dataAt + dataBytes);
  const base = libc().address(whole);
  const view = viewOf(whole);
  view.setBigUint64(16, base + BigInt(HEADER_BYTES), LITTLE);
  view.setBigUint64(24, 1n, LITTLE);
  if (controlBytes > 0) view.setBigUint64(32, base + BigInt(controlAt), LITTLE);
  view.setBigUint64(40, BigInt(controlBytes), LITTLE);
  view.setBigUint64(HEADER_BYTES, base + BigInt(dataAt), LITTLE);
  view.setBigUint64(HEADER_BYTES + 8, BigInt(dataBytes), LITTLE);
  return { whole, control: whole.subarray(controlAt, dataAt), data: whole.subarray(dataAt) };
}

function readDescriptors(control: Uint8Array): number[] {
  const fds: number[] = [];
  const view = viewOf(control);
  let offset = 0;
  while (offset + CMSG_HEADER_BYTES <= control.length) {
    const length = Number(view.getBigUint64(offset, LITTLE));
    if (length < CMSG_HEADER_BYTES || offset + length > control.length) break;
    const rights =
      view.getInt32(offset + 8, LITTLE) === SOL_SOCKET && view.getInt32(offset + 12, LITTLE) === SCM_RIGHTS;
    const end = rights ? offset + length : 0;
    for (let at = offset + CMSG_HEADER_BYTES; at + 4 <= end; at += 4) fds.push(view.getInt32(at, LITTLE));
    offset += align8(length);
  }
  return fds;
}

const align8 = (length: number): number => (length + 7) & ~7;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
