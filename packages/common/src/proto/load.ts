import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { MeshError } from '../errors.ts';

/** One wire message, both ways. Fields are camelCase; enums are numbers, so that unknown ones can be told apart. */
export interface Message<T> {
  /** Fields that are absent or hold their default are not written. */
  encode(value: WireInput<T>): Uint8Array;
  /** @throws MeshError CONFIG when the bytes are no such message. Byte fields are views into the argument. */
  decode(bytes: Uint8Array): T;
}

/** What may be given for encoding a `T`: everything optional, at every depth. */
export type WireInput<T> = T extends string | number | boolean | Uint8Array | WireLong
  ? T
  : T extends readonly (infer Element)[]
    ? readonly WireInput<Element>[]
    : T extends object
      ? { readonly [K in keyof T]?: WireInput<T[K]> | null | undefined }
      : T;

/** An int64 as it is decoded; a plain number may be given for encoding. */
export type WireLong = number | { toNumber(): number };

/** A message field that is not set is null. */
export type Unset = null | undefined;

const FILES = ['xds', 'workload', 'authorization', 'l7', 'ca', 'zds'] as const;
const GOOGLE = ['any', 'duration', 'empty', 'struct', 'wrappers'] as const;

let root: protobuf.Root | undefined;

/**
 * The codec of a message by its full name, `istio.workload.Address` for one. The definitions are read once, when something
 * is first encoded or decoded, from the folder of this module: a bundle has to carry the .proto files beside it.
 */
export function message<T>(name: string): Message<T> {
  let found: protobuf.Type | undefined;
  const type = (): protobuf.Type => (found ??= definitions().lookupType(name));
  return {
    encode: (value) =>
      type()
        .encode(value as protobuf.Message)
        .finish(),
    decode: (bytes) => {
      try {
        return type().decode(bytes) as T;
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new MeshError('CONFIG', `${bytes.length} bytes are not a valid ${name} message: ${why}`, { cause });
      }
    },
  };
}

function definitions(): protobuf.Root {
  if (root !== undefined) return root;
  const made = new protobuf.Root();
  for (const file of GOOGLE) made.addJSON(protobuf.common.get(`google/protobuf/${file}.proto`)?.nested ?? {});
  for (const file of FILES) protobuf.parse(readFileSync(new URL(`./${file}.proto`, import.meta.url), 'utf8'), made);
  made.resolveAll();
  return (root = made);
}
