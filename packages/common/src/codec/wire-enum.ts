import { MeshError } from '../errors.ts';

/** The numbers of one wire enum ↔ the names of the model. */
export interface WireEnum<Name extends string> {
  encode(name: Name): number;
  /** @throws MeshError CONFIG for a number that is not in the table. */
  decode(number: number, resource: string): Name;
}

/** Names in the order of their numbers, from 0; undefined where a number must be refused. */
export function wireEnum<Name extends string>(field: string, names: readonly (Name | undefined)[]): WireEnum<Name> {
  const numbers = new Map(names.map((name, number) => [name, number]));
  return {
    encode: (name) => numbers.get(name) ?? 0,
    decode: (number, resource) => names[number] ?? refuse(resource, field, `unknown value ${number}`),
  };
}

/** Refuses one resource. @throws MeshError CONFIG naming the resource, the field and what is wrong with it. */
export function refuse(resource: string, field: string, problem: string): never {
  throw new MeshError('CONFIG', `${resource}: ${field}: ${problem}`);
}
