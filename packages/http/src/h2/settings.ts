import type { ErrorCode, SessionOptions } from './contract.ts';
import { ConnectionFault, DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, MAX_WINDOW, readUint32 } from './frame.ts';

/** RFC 9113 §6.5.2, RFC 8441 §3. */
const ID = {
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindow: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  connectProtocol: 8,
} as const;

export type Role = 'client' | 'server';

/** What the peer's SETTINGS say so far. */
export interface PeerSettings {
  maxConcurrentStreams: number;
  initialWindow: number;
  maxFrameSize: number;
  connectProtocol: boolean;
}

export const DEFAULT_OPTIONS: SessionOptions = Object.freeze({
  initialWindow: 4 * 1024 * 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxFrameSize: 1024 * 1024,
  maxHeaderListSize: 64 * 1024,
  maxConcurrentStreams: 200,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 20_000,
  sendBuffer: 256 * 1024,
  enableConnectProtocol: false,
});

export const initialPeerSettings = (): PeerSettings => ({
  maxConcurrentStreams: Infinity,
  initialWindow: DEFAULT_WINDOW,
  maxFrameSize: DEFAULT_FRAME_SIZE,
  connectProtocol: false,
});

/** Payload of our SETTINGS frame. */
export function encodeSettings(role: Role, options: SessionOptions): Buffer {
  const rows: [id: number, value: number][] = [
    [ID.initialWindow, options.initialWindow],
    [ID.maxFrameSize, options.maxFrameSize],
    [ID.maxHeaderListSize, options.maxHeaderListSize],
  ];
  if (role === 'client') rows.unshift([ID.enablePush, 0]);
  else rows.push([ID.maxConcurrentStreams, options.maxConcurrentStreams]);
  if (role === 'server' && options.enableConnectProtocol) rows.push([ID.connectProtocol, 1]);
  const payload = Buffer.alloc(rows.length * 6);
  rows.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return payload;
}

/** Takes the peer's SETTINGS over. @throws ConnectionFault on a value that RFC 9113 forbids. */
export function applySettings(peer: PeerSettings, payload: Uint8Array, role: Role): void {
  if (payload.length % 6 !== 0)
    throw new ConnectionFault('FRAME_SIZE_ERROR', 'SETTINGS of a length not divisible by 6');
  for (let at = 0; at < payload.length; at += 6) {
    const id = ((payload[at] ?? 0) << 8) | (payload[at + 1] ?? 0);
    applyOne(peer, { id, value: readUint32(payload, at + 2) }, role);
  }
}

function applyOne(peer: PeerSettings, { id, value }: { id: number; value: number }, role: Role): void {
  switch (id) {
    case ID.enablePush:
      // RFC 9113 §8.4: only a client may announce push, and only 0 or 1.
      within(value, [0, role === 'client' ? 0 : 1], 'PROTOCOL_ERROR', 'ENABLE_PUSH');
      break;
    case ID.maxConcurrentStreams:
      peer.maxConcurrentStreams = value;
      break;
    case ID.initialWindow:
      peer.initialWindow = within(value, [0, MAX_WINDOW], 'FLOW_CONTROL_ERROR', 'INITIAL_WINDOW_SIZE');
      break;
    case ID.maxFrameSize:
      peer.maxFrameSize = within(value, [DEFAULT_FRAME_SIZE, 0xff_ff_ff], 'PROTOCOL_ERROR', 'MAX_FRAME_SIZE');
      break;
    case ID.connectProtocol:
      // RFC 8441 §3: once allowed, it cannot be taken back.
      peer.connectProtocol =
        within(value, [peer.connectProtocol ? 1 : 0, 1], 'PROTOCOL_ERROR', 'ENABLE_CONNECT_PROTOCOL') === 1;
      break;
    default:
      break; // HEADER_TABLE_SIZE: our encoder uses no table. MAX_HEADER_LIST_SIZE is advice. Others are ignored (§6.5.2).
  }
}

function within(value: number, range: readonly [min: number, max: number], code: ErrorCode, name: string): number {
  if (value >= range[0] && value <= range[1]) return value;
  throw new ConnectionFault(code, `SETTINGS_${name} ${value}`);
}
