export type MetricKind = 'counter' | 'gauge' | 'histogram';

/** `# HELP`, `# TYPE` and, where there is one, `# UNIT`, without the suffix that samples of counters carry. */
export function metricHead(name: string, kind: MetricKind, help: string, unit: string | undefined): string {
  const text = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
  const head = `# HELP ${name} ${text}\n# TYPE ${name} ${kind}\n`;
  return unit === undefined ? head : `${head}# UNIT ${name} ${unit}\n`;
}

/** `a="b",c="d"`; a label whose value is undefined is left out. */
export function labelText(names: readonly string[], values: readonly (string | undefined)[]): string {
  const pairs: string[] = [];
  names.forEach((name, index) => {
    const value = values[index];
    if (value !== undefined) pairs.push(`${name}="${escapeLabel(value)}"`);
  });
  return pairs.join(',');
}

/** One sample line. */
export const sampleLine = (name: string, labels: string, value: number): string =>
  labels === '' ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;

/** `le` of a bucket: whole numbers carry `.0`, the last is `+Inf`. */
export function boundText(bound: number): string {
  if (bound === Infinity) return '+Inf';
  return Number.isInteger(bound) ? `${bound}.0` : String(bound);
}

function escapeLabel(value: string): string {
  if (!/["\\\n]/.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
