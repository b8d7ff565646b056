import type { Unset, WireInput } from './load.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** `google.protobuf.Struct` as decoded. */
export interface WireStruct {
  readonly fields: Readonly<Record<string, WireValue>>;
}

/** `google.protobuf.Value` as decoded; `kind` names the field that is set. */
export interface WireValue {
  readonly kind: 'nullValue' | 'numberValue' | 'stringValue' | 'boolValue' | 'structValue' | 'listValue' | undefined;
  readonly nullValue?: number | Unset;
  readonly numberValue?: number | Unset;
  readonly stringValue?: string | Unset;
  readonly boolValue?: boolean | Unset;
  readonly structValue?: WireStruct | Unset;
  readonly listValue?: { readonly values: readonly WireValue[] } | Unset;
}

/** JSON object → Struct. */
export function toStruct(json: JsonObject): WireInput<WireStruct> {
  return { fields: Object.fromEntries(Object.entries(json).map(([key, value]) => [key, toValue(value)])) };
}

function toValue(json: Json): WireInput<WireValue> {
  if (json === null) return { nullValue: 0 };
  if (typeof json === 'boolean') return { boolValue: json };
  if (typeof json === 'number') return { numberValue: json };
  if (typeof json === 'string') return { stringValue: json };
  if (isList(json)) return { listValue: { values: json.map(toValue) } };
  return { structValue: toStruct(json) };
}

const isList = (json: Json): json is readonly Json[] => Array.isArray(json);

/** Struct → JSON object; a value of no kind is null. */
export function fromStruct(struct: WireStruct | Unset): JsonObject {
  return Object.fromEntries(Object.entries(struct?.fields ?? {}).map(([key, value]) => [key, fromValue(value)]));
}

function fromValue(value: WireValue): Json {
  const { kind } = value;
  if (kind === undefined || kind === 'nullValue') return null;
  if (kind === 'structValue') return fromStruct(value.structValue);
  if (kind === 'listValue') return (value.listValue?.values ?? []).map(fromValue);
  return value[kind] ?? null;
}
