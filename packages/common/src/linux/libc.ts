import { createRequire } from 'node:module';
import { getSystemErrorMap } from 'node:util';
import { MeshError } from '../errors.ts';

/**
 * The system calls that Node has no words for. Each returns what the kernel returns: a result, or the negative errno.
 * Only for the generic Linux numbering of x86-64, arm64 and riscv64.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: Uint8Array): number;
  accept(fd: number, flags: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number;
  getsockopt(fd: number, level: number, option: number, value: Uint8Array): number;
  getsockname(fd: number, address: Uint8Array): number;
  sendmsg(fd: number, message: Uint8Array, flags: number): number;
  recvmsg(fd: number, message: Uint8Array, flags: number): number;
  recv(fd: number, bytes: Uint8Array, flags: number): number;
  setns(fd: number, type: number): number;
  ioctl(fd: number, request: number): number;
  interfaceIndex(name: string): number;
  /** Where the bytes live, for structures that hold pointers; the array must be kept while the kernel uses it. */
  address(bytes: Uint8Array): bigint;
  /** Calls back whenever the descriptor is readable (or has ended), on the event loop. One handle per descriptor: libuv takes no second. */
  pollReadable(fd: number, onReady: () => void): PollHandle;
}

export interface PollHandle {
  stop(): void;
  start(what: { readable: true }, onReady: () => void): void;
  /** Must come before the descriptor is closed. */
  close(): void;
}

/** What koffi gives, as far as it is used. */
interface Koffi {
  load(path: null): { func(definition: string): (...args: unknown[]) => number };
  errno(): number;
  address(bytes: Uint8Array): bigint;
  readonly node: {
    poll(fd: number, what: { readable: true }, fn: () => void): PollHandle;
  };
}

let loaded: Libc | undefined;

/**
 * The C library, loaded when it is first needed.
 * @throws MeshError CONFIG on another system than Linux, or where koffi has no binary for this machine.
 */
export function libc(): Libc {
  loaded ??= bindLibc(loadKoffi());
  return loaded;
}

/** A system call that failed, kept as the cause of the MeshError that tells what it was for. */
export class SystemCallError extends Error {
  /** As Node spells them: `EADDRINUSE`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'SystemCallError';
    this.code = code;
  }
}

/**
 * Passes a result on.
 * @throws MeshError when it is a negative errno: CONFIG for what the machine's owner can change (rights, addresses in use), else INTERNAL.
 */
export function must(what: string, result: number): number {
  if (result >= 0) return result;
  const cause = systemCallError(result);
  throw new MeshError(OWNER_CAN_CHANGE.has(cause.code) ? 'CONFIG' : 'INTERNAL', `cannot ${what}: ${cause.message}`, {
    cause,
  });
}

/** The error behind a negative errno. */
export function systemCallError(result: number): SystemCallError {
  const [code, message] = getSystemErrorMap().get(result) ?? [`E${-result}`, 'unknown error'];
  const advice = ADVICE[code];
  return new SystemCallError(code, `${message} (${code}${advice === undefined ? '' : `: ${advice}`})`);
}

const ADVICE: Readonly<Record<string, string>> = {
  EPERM: 'needs the capabilities NET_ADMIN, NET_RAW and SYS_ADMIN in this network namespace',
  EADDRNOTAVAIL: 'no interface has this address',
};
const OWNER_CAN_CHANGE: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'EADDRINUSE',
  'EADDRNOTAVAIL',
  'ENOENT',
  'EMFILE',
  'ENFILE',
  'ENODEV',
]);

function loadKoffi(): Koffi {
  if (process.platform !== 'linux')
    throw new MeshError('CONFIG', `network namespaces need Linux; this is ${process.platform}`);
  try {
    // Required, not imported: a program that never opens a socket in a pod never loads native code.
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    throw new MeshError(
      'CONFIG',
      `the native module koffi has no binary for ${process.platform} on ${process.arch}, or it cannot be loaded: ${String(cause)}`,
      { cause },
    );
  }
}

function bindLibc(koffi: Koffi): Libc {
  const library = koffi.load(null);
  const bound = (definition: string): ((...args: unknown[]) => number) => {
    const fn = library.func(definition);
    return (...args) => {
      const result = fn(...args);
      return result < 0 ? -koffi.errno() : result;
    };
  };
  const bind = bound('int bind(int fd, const void *address, uint32_t length)');
  const connect = bound('int connect(int fd, const void *address, uint32_t length)');
  const accept4 = bound('int accept4(int fd, void *address, void *length, int flags)');
  const setsockopt = bound('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');
  const getsockopt = bound('int getsockopt(int fd, int level, int name, void *value, void *length)');
  const getsockname = bound('int getsockname(int fd, void *address, void *length)');
  const recv = bound('int64_t recv(int fd, void *bytes, size_t length, int flags)');
  const ioctl = bound('int ioctl(int fd, unsigned long request, void *value)');
  const nameToIndex = library.func('unsigned int if_nametoindex(const char *name)');
  return {
    socket: bound('int socket(int domain, int type, int protocol)'),
    listen: bound('int listen(int fd, int backlog)'),
    sendmsg: bound('int64_t sendmsg(int fd, const void *message, int flags)'),
    recvmsg: bound('int64_t recvmsg(int fd, void *message, int flags)'),
    setns: bound('int setns(int fd, int type)'),
    bind: (fd, address) => bind(fd, address, address.length),
    connect: (fd, address) => connect(fd, address, address.length),
    accept: (fd, flags) => accept4(fd, null, null, flags),
    setsockopt: (fd, level, name, value) => setsockopt(fd, level, name, value, value.length),
    getsockopt: (fd, level, name, value) => getsockopt(fd, level, name, value, lengthOf(value)),
    getsockname: (fd, address) => getsockname(fd, address, lengthOf(address)),
    recv: (fd, bytes, flags) => recv(fd, bytes, bytes.length, flags),
    ioctl: (fd, request) => ioctl(fd, request, null),
    interfaceIndex: (name) => nameToIndex(name) || -koffi.errno(),
    address: (bytes) => koffi.address(bytes),
    pollReadable: (fd, onReady) => koffi.node.poll(fd, { readable: true }, onReady),
  };
}

/** A socklen_t that the kernel reads and overwrites. */
function lengthOf(bytes: Uint8Array): Uint8Array {
  return int32(bytes.length);
}

/** An int as the kernel's structures hold it. */
export function int32(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}
