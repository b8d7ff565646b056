import { promisify } from 'node:util';
import { brotliCompress, constants, deflate, gzip, zstdCompress } from 'node:zlib';

export type ContentEncoding = 'gzip' | 'br' | 'zstd' | 'deflate';

export interface EncodedBody {
  /** Undefined when the body is sent as it is. */
  readonly encoding: ContentEncoding | undefined;
  readonly bytes: Uint8Array;
}

/** In the order preferred among equals. */
const CODINGS: readonly ContentEncoding[] = ['gzip', 'zstd', 'br', 'deflate'];
/** Below this, headers cost more than compression saves. */
const MIN_BYTES = 32;
/** Scrapes are frequent: speed counts more than the last percent. */
const BROTLI_QUALITY = 4;

const brotli = promisify(brotliCompress);
const COMPRESS: Readonly<Record<ContentEncoding, (bytes: Uint8Array) => Promise<Uint8Array>>> = {
  gzip: promisify(gzip),
  zstd: promisify(zstdCompress),
  br: (bytes) => brotli(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } }),
  deflate: promisify(deflate),
};

/** The coding an Accept-Encoding header asks for (RFC 9110 §12.5.3); undefined means none. */
export function chooseEncoding(header: string): ContentEncoding | undefined {
  const weights = new Map<string, number>();
  for (const part of header.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((one) => one.trim());
    const quality = parameters.find((one) => one.startsWith('q='));
    if (name !== '') weights.set(name, quality === undefined ? 1 : Number(quality.slice(2)) || 0);
  }
  let best: ContentEncoding | undefined;
  let bestWeight = 0;
  for (const coding of CODINGS) {
    const weight = weights.get(coding) ?? weights.get('*') ?? 0;
    if (weight <= bestWeight) continue;
    best = coding;
    bestWeight = weight;
  }
  return best;
}

/** Compresses when it is asked for and worth it. */
export async function compress(encoding: ContentEncoding | undefined, text: string): Promise<EncodedBody> {
  const bytes = Buffer.from(text);
  if (encoding === undefined || bytes.length < MIN_BYTES) return { encoding: undefined, bytes };
  return { encoding, bytes: await COMPRESS[encoding](bytes) };
}
