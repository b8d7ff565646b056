import { record, text, texts } from '@ambit/standalone/fields';

/** A condition of an object's status. */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** Reads parts of a Kubernetes object by path, without trusting its shape: what is missing is empty. */
export class ObjectView {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #now: number;

  constructor(object: unknown, now: number = Date.now()) {
    this.#object = record(object);
    this.#now = now;
  }

  /** Nothing is in it: the space between two `---`. */
  get isEmpty(): boolean {
    return Object.keys(this.#object).length === 0;
  }

  get name(): string {
    return this.text('metadata.name');
  }

  get namespace(): string {
    return this.text('metadata.namespace');
  }

  value(path: string): unknown {
    let value: unknown = this.#object;
    for (const part of path.split('.')) value = record(value)[part];
    return value;
  }

  /** Numbers and booleans as text; '' when missing or no scalar. */
  text(path: string): string {
    const value = this.value(path);
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
  }

  list(path: string): ObjectView[] {
    const value = this.value(path);
    return Array.isArray(value) ? value.map((one: unknown) => new ObjectView(one, this.#now)) : [];
  }

  strings(path: string): string[] {
    return texts(this.value(path));
  }

  label(key: string): string | undefined {
    return text(record(this.value('metadata.labels'))[key]);
  }

  annotation(key: string): string | undefined {
    return text(record(this.value('metadata.annotations'))[key]);
  }

  condition(type: string): Condition | undefined {
    const found = this.list('status.conditions').find((one) => one.text('type') === type);
    return (
      found && { type, status: found.text('status'), reason: found.text('reason'), message: found.text('message') }
    );
  }

  /** `namespace/name` of the waypoint in force: that of the last verdict, else what the labels ask for; undefined without. */
  waypoint(): { name: string; bound: Condition | undefined } | undefined {
    const bound = this.condition('istio.io/WaypointBound') ?? this.condition('istio.io/WaypointMissing');
    const named = bound && /waypoint "?([a-z0-9-]+\/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)/.exec(bound.message)?.[1];
    if (named !== undefined) return { name: named, bound };
    const label = this.label('istio.io/use-waypoint');
    if (label === undefined) return undefined;
    const namespace = this.label('istio.io/use-waypoint-namespace');
    return { name: namespace === undefined ? label : `${namespace}/${label}`, bound };
  }

  /** kubectl's form: 12s, 5m, 3h, 4d. */
  age(): string {
    const created = Date.parse(this.text('metadata.creationTimestamp'));
    if (Number.isNaN(created)) return '-';
    const seconds = Math.max(0, Math.round((this.#now - created) / 1000));
    if (seconds < 120) return `${seconds}s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)}m`;
    return seconds < 172_800 ? `${Math.round(seconds / 3600)}h` : `${Math.round(seconds / 86_400)}d`;
  }

  /** A waiting or failed container's reason, else the phase, as kubectl prints it. */
  podStatus(): string {
    if (this.text('metadata.deletionTimestamp') !== '') return 'Terminating';
    for (const container of [...this.list('status.initContainerStatuses'), ...this.list('status.containerStatuses')]) {
      const reason = container.text('state.waiting.reason') || container.text('state.terminated.reason');
      if (reason !== '' && reason !== 'Completed') return reason;
    }
    return this.text('status.reason') || this.text('status.phase') || 'Unknown';
  }

  /** `ServiceEntry/httpbin`, `selector app=web`, or the whole namespace. */
  policyTarget(): string {
    const single = this.value('spec.targetRef');
    const targets = [...this.list('spec.targetRefs'), ...(single === undefined ? [] : [new ObjectView(single)])];
    if (targets.length > 0) return targets.map((one) => `${one.text('kind')}/${one.text('name')}`).join(',');
    const labels = Object.entries(record(this.value('spec.selector.matchLabels')));
    return labels.length > 0 ? labels.map(([key, value]) => `${key}=${String(value)}`).join(',') : 'namespace';
  }
}
