import { MeshError } from '../errors.ts';
import { type MetricKind, boundText, labelText, metricHead, sampleLine } from './metric-text.ts';

/** One series, resolved once when a connection opens; changing it is an addition. */
export interface MetricHandle {
  /** Counters and gauges: adds (1 when absent). */
  inc(by?: number): void;
  /** Gauges: replaces; counters: sets the total of something that is counted elsewhere. */
  set(value: number): void;
  /** Histograms: counts one measurement. */
  observe(value: number): void;
}

export interface MetricOptions {
  /** Adds " (unstable)" to the help text, as the node agent does for metrics that may change. */
  readonly unstable?: boolean;
  readonly unit?: string;
  /** Histograms: upper bounds without +Inf. */
  readonly buckets?: readonly number[];
  /** Series kept apart; beyond it, all label values of a new one are `other`. 20000 when absent. */
  readonly maxSeries?: number;
  /** The help text is printed as it is, without a closing period. */
  readonly verbatimHelp?: boolean;
}

const DEFAULT_MAX_SERIES = 20_000;
/** Bounds of the DNS durations of the node agent, in seconds. */
const DEFAULT_BUCKETS: readonly number[] = [0.0005, 0.001, 0.01, 0.1, 1, 5];

/** All metrics of a program, rendered as OpenMetrics text. */
export class Registry {
  readonly #families = new Map<string, Family>();
  readonly #collectors: (() => void)[] = [];

  /** A number that only grows. The name is given with or without `_total`. */
  counter(name: string, help: string, labelNames: readonly string[], options?: MetricOptions): Family {
    return this.#add('counter', name.replace(/_total$/, ''), { help, labelNames, options });
  }

  /** A number that goes up and down. */
  gauge(name: string, help: string, labelNames: readonly string[], options?: MetricOptions): Family {
    return this.#add('gauge', name, { help, labelNames, options });
  }

  /** How measurements are spread over buckets. */
  histogram(name: string, help: string, labelNames: readonly string[], options?: MetricOptions): Family {
    return this.#add('histogram', name, { help, labelNames, options });
  }

  /** Calls `fn` before each rendering, to set what is cheaper to ask for than to follow. */
  collect(fn: () => void): void {
    this.#collectors.push(fn);
  }

  /** The whole text, families in the order they were made, those without samples left out. */
  render(): string {
    for (const fn of this.#collectors) fn();
    let text = '';
    for (const family of this.#families.values()) text += family.render();
    return `${text}# EOF\n`;
  }

  #add(kind: MetricKind, name: string, definition: Definition): Family {
    if (this.#families.has(name)) throw new MeshError('INTERNAL', `the metric ${name} is defined twice`);
    const family = new Family(kind, name, definition);
    this.#families.set(name, family);
    return family;
  }
}

interface Definition {
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly options: MetricOptions | undefined;
}

/** All series of one metric name. */
export class Family {
  readonly #name: string;
  readonly #kind: MetricKind;
  readonly #head: string;
  readonly #labelNames: readonly string[];
  readonly #buckets: readonly number[];
  readonly #maxSeries: number;
  readonly #series = new Map<string, Series>();

  constructor(kind: MetricKind, name: string, definition: Definition) {
    const { help, labelNames, options = {} } = definition;
    const suffix = `${options.unstable === true ? ' (unstable)' : ''}${options.verbatimHelp === true ? '' : '.'}`;
    this.#name = name;
    this.#kind = kind;
    this.#labelNames = labelNames;
    this.#buckets = kind === 'histogram' ? [...(options.buckets ?? DEFAULT_BUCKETS), Infinity] : [];
    this.#maxSeries = options.maxSeries ?? DEFAULT_MAX_SERIES;
    this.#head = metricHead(name, kind, `${help.replace(/\.$/, '')}${suffix}`, options.unit);
  }

  /** The series with these label values, in the order of the names; undefined leaves a label out. The same values give the same handle. */
  with(values: readonly (string | undefined)[]): MetricHandle {
    if (values.length !== this.#labelNames.length)
      throw new MeshError(
        'INTERNAL',
        `the metric ${this.#name} has ${this.#labelNames.length} labels, not ${values.length}`,
      );
    const labels = labelText(this.#labelNames, values);
    const known = this.#series.get(labels);
    if (known !== undefined) return known;
    if (values.length > 0 && this.#series.size >= this.#maxSeries) return this.#overflow();
    return this.#make(labels);
  }

  /** Forgets a series, for what no longer exists. */
  remove(values: readonly (string | undefined)[]): void {
    this.#series.delete(labelText(this.#labelNames, values));
  }

  /** Forgets every series, for a family that a collector fills anew. */
  clear(): void {
    this.#series.clear();
  }

  /** The text of this family; empty without series. */
  render(): string {
    if (this.#series.size === 0) return '';
    let text = this.#head;
    for (const series of this.#series.values()) text += this.#renderSeries(series);
    return text;
  }

  #overflow(): Series {
    const labels = labelText(
      this.#labelNames,
      this.#labelNames.map(() => 'other'),
    );
    return this.#series.get(labels) ?? this.#make(labels);
  }

  #make(labels: string): Series {
    const series = new Series(labels, this.#buckets);
    this.#series.set(labels, series);
    return series;
  }

  #renderSeries(series: Series): string {
    if (this.#kind === 'counter') return sampleLine(`${this.#name}_total`, series.labels, series.value);
    if (this.#kind === 'gauge') return sampleLine(this.#name, series.labels, series.value);
    let text = sampleLine(`${this.#name}_sum`, series.labels, series.value);
    text += sampleLine(`${this.#name}_count`, series.labels, series.count);
    let below = 0;
    this.#buckets.forEach((bound, index) => {
      below += series.counts[index] ?? 0;
      const labels = `le="${boundText(bound)}"${series.labels === '' ? '' : `,${series.labels}`}`;
      text += sampleLine(`${this.#name}_bucket`, labels, below);
    });
    return text;
  }
}

class Series implements MetricHandle {
  readonly labels: string;
  readonly #bounds: readonly number[];
  readonly counts: number[];
  count: number;
  value: number;

  constructor(labels: string, bounds: readonly number[]) {
    this.labels = labels;
    this.#bounds = bounds;
    this.counts = bounds.map(() => 0);
    this.count = 0;
    this.value = 0;
  }

  inc(by = 1): void {
    this.value += by;
  }

  set(value: number): void {
    this.value = value;
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] ?? 0)) index += 1;
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.count += 1;
    this.value += value;
  }
}
