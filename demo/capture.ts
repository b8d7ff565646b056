/**
 * Watches an interface for some seconds and counts, for each TCP port that was called, its packets and those that contain one of the texts.
 * `node capture.ts INTERFACE SECONDS TEXT…`; runs in the namespace whose interface it is.
 */
import { packetSocket } from '@ambit/common/linux/packet';

const [name = 'ambit0', seconds = '5', ...texts] = process.argv.slice(2);
const needles = texts.map((text) => Buffer.from(text));
const ports = new Map<number, { packets: number; readable: number }>();

const socket = packetSocket(name, (frame) => count(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)));
console.log(`every packet on ${name} for ${seconds} s:`);
setTimeout(
  () => {
    socket.close();
    report();
  },
  Number(seconds) * 1000,
);

/** Ethernet II with IPv4 or IPv6 and TCP; the lower port is the one that was called. */
function count(frame: Buffer): void {
  const type = frame.readUInt16BE(12);
  const ip = frame.subarray(14);
  const header = type === 0x0800 ? ((ip[0] ?? 0) & 0xf) * 4 : type === 0x86dd ? 40 : 0;
  const protocol = type === 0x0800 ? ip[9] : ip[6];
  if (header === 0 || protocol !== 6 || ip.length < header + 20) return;
  const port = Math.min(ip.readUInt16BE(header), ip.readUInt16BE(header + 2));
  const entry = ports.get(port) ?? { packets: 0, readable: 0 };
  entry.packets++;
  if (needles.some((needle) => ip.includes(needle))) entry.readable++;
  ports.set(port, entry);
}

function report(): void {
  const meaning = new Map([
    [15_008, 'HBONE between pods and waypoint'],
    [15_012, 'control plane'],
    [80, 'waypoint to the outside'],
  ]);
  for (const [port, { packets, readable }] of [...ports].sort(([a], [b]) => a - b)) {
    console.log(`port ${port} (${meaning.get(port) ?? 'other'}): ${packets} packets, ${readable} contain the request`);
  }
}
