import type { Headers } from '@ambit/http/headers';

/** Bytes of the header lines in HTTP/1.1 form; HTTP/2 is counted the same, without its compression. */
export function headerBytes(headers: Headers): number {
  const flat = headers.flat();
  let bytes = 2;
  for (let i = 0; i < flat.length; i++) bytes += (flat[i]?.length ?? 0) + 2;
  return bytes;
}
