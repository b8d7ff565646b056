import { readdirSync, readFileSync } from 'node:fs';
import type { Registry } from '@ambit/common/telemetry/metrics';

/** Counts of pods, as the enrolment keeps them. */
export interface PodCounts {
  readonly active: number;
  readonly pending: number;
  readonly started: number;
  readonly stopped: number;
}

export interface XdsMetrics {
  message(typeUrl: string, bytes: number): void;
  terminated(reason: string): void;
}

/** Descriptors and build: come first, and the former without a prefix, as in Istio's agent. */
export function registerProcessMetrics(registry: Registry, version: string): void {
  const verbatim = { verbatimHelp: true };
  const open = registry.gauge('process_open_fds', 'Number of open file descriptors', [], verbatim).with([]);
  const max = registry.gauge('process_max_fds', 'Maximum number of open file descriptors', [], verbatim).with([]);
  registry.collect(() => {
    open.set(readdirSync('/proc/self/fd').length);
    max.set(Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0));
  });
  registry.gauge('istio_build', 'Istio component build info', ['component', 'tag']).with(['ztunnel', version]).set(1);
}

export function registerXdsMetrics(registry: Registry): XdsMetrics {
  const unstable = { unstable: true };
  const terminations = registry.counter(
    'istio_xds_connection_terminations',
    'The total number of completed connections to xds server',
    ['reason'],
    unstable,
  );
  const messages = registry.counter('istio_xds_message', 'Total number of messages received', ['url'], unstable);
  const bytes = registry.counter('istio_xds_message_bytes', 'Total number of bytes received', ['url'], {
    ...unstable,
    unit: 'bytes',
  });
  return {
    message: (url, size) => {
      messages.with([url]).inc();
      bytes.with([url]).inc(size);
    },
    terminated: (reason) => terminations.with([reason]).inc(),
  };
}

export function registerPodMetrics(registry: Registry, counts: () => PodCounts): void {
  const unstable = { unstable: true };
  const active = registry
    .gauge(
      'workload_manager_active_proxy_count',
      'The total number current workloads with active proxies',
      [],
      unstable,
    )
    .with([]);
  const pending = registry
    .gauge(
      'workload_manager_pending_proxy_count',
      'The total number current workloads with pending proxies',
      [],
      unstable,
    )
    .with([]);
  const started = registry
    .counter('workload_manager_proxies_started', 'The total number of proxies that were started', [], unstable)
    .with([]);
  const stopped = registry
    .counter('workload_manager_proxies_stopped', 'The total number of proxies that were stopped', [], unstable)
    .with([]);
  registry.collect(() => {
    const now = counts();
    active.set(now.active);
    pending.set(now.pending);
    started.set(now.started);
    stopped.set(now.stopped);
  });
}
