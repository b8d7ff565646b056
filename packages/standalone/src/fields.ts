/** Readers of values that came from YAML: what is not of the wanted form is undefined or empty, never an exception. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const record = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {});

export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const records = (value: unknown): Record<string, unknown>[] => list(value).filter(isRecord);

export const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

export const texts = (value: unknown): string[] => list(value).filter((item) => typeof item === 'string');

export const number = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** The entries of a map whose values are strings. */
export function textMap(value: unknown): Record<string, string> {
  const entries: [string, string][] = [];
  for (const [key, item] of Object.entries(record(value))) if (typeof item === 'string') entries.push([key, item]);
  return Object.fromEntries(entries);
}
