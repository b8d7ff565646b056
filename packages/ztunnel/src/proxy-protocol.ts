import type { HostPort } from '@ambit/common/address/host-port';
import { ipToBytes } from '@ambit/common/address/ip';

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const VERSION_2_PROXY = 0x21;
const STREAM_UNSPEC = 0x01;
const STREAM_IPV4 = 0x11;
const STREAM_IPV6 = 0x21;
/** Istio's own TLV: the SPIFFE URI of the peer. */
const PEER_IDENTITY = 0xd0;

/** What a PROXY protocol v2 header tells the application. */
export interface ProxyHeader {
  /** The real address of the TCP peer. */
  readonly source: HostPort;
  readonly destination: HostPort;
  /** SPIFFE URI of the peer; its TLV is left out without one. */
  readonly identity: string | undefined;
}

/**
 * Encodes PROXY protocol v2 as Istio's ztunnel does: version and command 0x21, TCP over IPv4 or IPv6 (no address block when the two
 * families differ), then TLV 0xD0 with the peer's SPIFFE URI.
 */
export function encodeProxyHeader(header: ProxyHeader): Buffer {
  const addresses = addressBlock(header);
  const tlv = header.identity === undefined ? Buffer.alloc(0) : identityTlv(header.identity);
  const family = addresses.length === 12 ? STREAM_IPV4 : addresses.length === 36 ? STREAM_IPV6 : STREAM_UNSPEC;
  const length = addresses.length + tlv.length;
  const fixed = Buffer.from([...SIGNATURE, VERSION_2_PROXY, family, length >> 8, length & 0xff]);
  return Buffer.concat([fixed, addresses, tlv]);
}

function addressBlock({ source, destination }: ProxyHeader): Buffer {
  const from = ipToBytes(source.ip);
  const to = ipToBytes(destination.ip);
  if (from.length !== to.length) return Buffer.alloc(0);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  return Buffer.concat([from, to, ports]);
}

function identityTlv(identity: string): Buffer {
  const value = Buffer.from(identity);
  return Buffer.concat([Buffer.from([PEER_IDENTITY, value.length >> 8, value.length & 0xff]), value]);
}
