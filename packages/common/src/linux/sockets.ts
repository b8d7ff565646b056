import { closeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { type IpAddress, isV6, parseIp } from '../address/ip.ts';
import type { HostPort } from '../address/host-port.ts';
import { formatHostPort } from '../address/host-port.ts';
import { MeshError } from '../errors.ts';
import { int32, libc, must } from './libc.ts';
import { type Netns, inNetns } from './netns.ts';
import { AF_INET, AF_INET6, inetAddress, readInetAddress } from './socket-address.ts';

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_TCP = 6;
const SOL_IPV6 = 41;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SO_MARK = 36;
const IP_FREEBIND = 15;
const IP_TRANSPARENT = 19;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;
const IPV6_FREEBIND = 78;
const SO_ORIGINAL_DST = 80;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const SO_KEEPALIVE = 9;
const TCP_USER_TIMEOUT = 18;

/** What every socket of the mesh can carry. */
export interface SocketMarks {
  /** SO_MARK: how the redirect rules tell the mesh's own packets. */
  readonly mark?: number;
  /** IP_TRANSPARENT: may carry addresses that are not of this machine. `'try'`: without it where the right is missing. */
  readonly transparent?: boolean | 'try';
}

export interface BindOptions extends SocketMarks {
  /** An address; `::` also takes IPv4. */
  readonly host: string;
  readonly port: number;
  /** SO_REUSEPORT: an old and a new agent share the port while they change over. Without it, SO_REUSEADDR. */
  readonly reusePort?: boolean;
}

export interface ListenOptions extends BindOptions {
  readonly backlog: number;
}

export interface SocketInOptions extends SocketMarks {
  readonly family: 4 | 6;
  /** The source address; with `transparent` it may be a foreign one. Port 0 takes a free one. */
  readonly bind?: HostPort;
}

/**
 * A listening TCP socket made inside a namespace, where it stays for life. Give it to `server.listen({ fd })`, which
 * then owns it.
 * @throws MeshError CONFIG when the address is in use or a right is missing; nothing is left open.
 */
export function listenIn(netns: Netns | undefined, options: ListenOptions): number {
  const ip = literal(options.host);
  return inNetns(netns, () =>
    owned(open(isV6(ip) ? AF_INET6 : AF_INET, SOCK_STREAM), (fd) => {
      prepare(fd, ip, options);
      must(`listen on ${formatHostPort(ip, options.port)}`, libc().listen(fd, options.backlog));
    }),
  );
}

/** A bound UDP socket made inside a namespace. Give it to `dgram.createSocket(type).bind({ fd })`, which then owns it. */
export function udpIn(netns: Netns | undefined, options: BindOptions): number {
  const ip = literal(options.host);
  return inNetns(netns, () => owned(open(isV6(ip) ? AF_INET6 : AF_INET, SOCK_DGRAM), (fd) => prepare(fd, ip, options)));
}

/** A TCP socket made inside a namespace and not yet connected; `connectSocket` takes it on. */
export function socketIn(netns: Netns | undefined, options: SocketInOptions): number {
  return inNetns(netns, () =>
    owned(open(options.family === 6 ? AF_INET6 : AF_INET, SOCK_STREAM), (fd) => {
      mark(fd, options.mark);
      transparent(fd, options.family === 6, options.transparent);
      if (options.bind === undefined) return;
      if (options.transparent !== undefined && options.transparent !== false) freebind(fd, options.family === 6);
      bind(fd, options.bind.ip, options.bind.port);
    }),
  );
}

/** Connects a socket made by socketIn; the net.Socket owns it. Listen to `connect` and `error` as with net.connect. */
export function connectSocket(fd: number, to: HostPort, options: Omit<SocketConstructorOpts, 'fd'> = {}): Socket {
  // manualStart: reading must not begin before there is a connection.
  const unconnected: SocketConstructorOpts & { manualStart: boolean } = { ...options, fd, manualStart: true };
  return new Socket(unconnected).connect({ host: to.ip, port: to.port });
}

/**
 * The descriptor of a connected socket, -1 when it is closed.
 * Node has no public way to it; the handle's field has been there for all versions that can adopt descriptors.
 */
export function fdOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle: { readonly fd: number } | null };
  return handle?.fd ?? -1;
}

/** Where a connection wanted to go before it was redirected: its own local address if it was not, undefined where nothing tracks connections. */
export function originalDestination(fd: number): HostPort | undefined {
  for (const level of [SOL_IP, SOL_IPV6]) {
    const address = new Uint8Array(28);
    if (libc().getsockopt(fd, level, SO_ORIGINAL_DST, address) === 0) return readInetAddress(address);
  }
  return undefined;
}

/** The address a socket is bound to. */
export function localAddress(fd: number): HostPort | undefined {
  const address = new Uint8Array(28);
  return libc().getsockname(fd, address) === 0 ? readInetAddress(address) : undefined;
}

/** Whether the socket got IP_TRANSPARENT: it decides whether client addresses can be kept. */
export function isTransparent(fd: number): boolean {
  const value = int32(0);
  return libc().getsockopt(fd, SOL_IP, IP_TRANSPARENT, value) === 0 && value[0] === 1;
}

export interface Keepalive {
  readonly idleSeconds: number;
  readonly intervalSeconds: number;
  readonly probes: number;
}

/** All three numbers of TCP keepalive; Node sets only the first. */
export function setKeepalive(fd: number, { idleSeconds, intervalSeconds, probes }: Keepalive): void {
  set(fd, [SOL_SOCKET, SO_KEEPALIVE, 1], 'turn keepalive on');
  set(fd, [SOL_TCP, TCP_KEEPIDLE, idleSeconds], 'set the keepalive idle time');
  set(fd, [SOL_TCP, TCP_KEEPINTVL, intervalSeconds], 'set the keepalive interval');
  set(fd, [SOL_TCP, TCP_KEEPCNT, probes], 'set the keepalive probes');
}

/** How long sent bytes may stay unacknowledged before the connection is given up. */
export function setUserTimeout(fd: number, ms: number): void {
  set(fd, [SOL_TCP, TCP_USER_TIMEOUT, ms], 'set the TCP user timeout');
}

/** Sets SO_MARK on a socket of this or any namespace. */
export function setMark(fd: number, value: number): void {
  set(fd, [SOL_SOCKET, SO_MARK, value], `mark the socket with ${value}`);
}

function literal(host: string): IpAddress {
  const ip = parseIp(host);
  if (ip === undefined) throw new MeshError('CONFIG', `${host} is not an IP address`);
  return ip;
}

function open(family: number, type: number): number {
  return must('make a socket', libc().socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/** Closes the descriptor when what follows fails. */
function owned(fd: number, finish: (fd: number) => void): number {
  try {
    finish(fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function prepare(fd: number, ip: IpAddress, options: BindOptions): void {
  mark(fd, options.mark);
  transparent(fd, isV6(ip), options.transparent);
  set(fd, [SOL_SOCKET, options.reusePort === true ? SO_REUSEPORT : SO_REUSEADDR, 1], 'share the address');
  if (isV6(ip)) set(fd, [SOL_IPV6, IPV6_V6ONLY, ip === '::' ? 0 : 1], 'choose the address families');
  bind(fd, ip, options.port);
}

function bind(fd: number, ip: IpAddress, port: number): void {
  must(`bind to ${formatHostPort(ip, port)}`, libc().bind(fd, inetAddress(ip, port)));
}

function mark(fd: number, value: number | undefined): void {
  if (value !== undefined) setMark(fd, value);
}

/** SOL_IP also on IPv6 sockets: a dual-stack listener takes IPv4 connections too. */
function transparent(fd: number, v6: boolean, wanted: SocketMarks['transparent']): void {
  if (wanted === undefined || wanted === false) return;
  const results = [libc().setsockopt(fd, SOL_IP, IP_TRANSPARENT, int32(1))];
  if (v6) results.push(libc().setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, int32(1)));
  if (wanted === true) for (const result of results) must('make the socket transparent', result);
}

function freebind(fd: number, v6: boolean): void {
  if (v6) set(fd, [SOL_IPV6, IPV6_FREEBIND, 1], 'bind to a foreign address');
  else set(fd, [SOL_IP, IP_FREEBIND, 1], 'bind to a foreign address');
}

function set(fd: number, [level, option, value]: readonly [number, number, number], what: string): void {
  must(what, libc().setsockopt(fd, level, option, int32(value)));
}
