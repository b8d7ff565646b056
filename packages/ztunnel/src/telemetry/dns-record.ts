import type { Workload } from '@ambit/common/model/workload';
import type { Logger } from '@ambit/common/telemetry/log';
import type { Registry } from '@ambit/common/telemetry/metrics';
import { RECORD } from '@ambit/common/dns/message';
import type { DnsEvent } from '../dns/handler.ts';

const LABELS = ['request_query_type', 'request_protocol', 'source_canonical_service', 'source_canonical_revision'];

const TYPE_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(RECORD).map(([name, type]) => [type, name]));

/** Counts and logs queries. */
export function createDnsRecorder(registry: Registry, logger: Logger): (event: DnsEvent) => void {
  const unstable = { unstable: true };
  const requests = registry.counter('istio_dns_requests', 'Total number of DNS requests', LABELS, unstable);
  const upstream = registry.counter(
    'istio_dns_upstream_requests',
    'Total number of DNS requests forwarded to upstream',
    LABELS,
    unstable,
  );
  const failures = registry.counter(
    'istio_dns_upstream_failures',
    'Total number of DNS requests forwarded to upstream that failed',
    LABELS,
    unstable,
  );
  const duration = registry.histogram(
    'istio_dns_upstream_request_duration_seconds',
    'How long upstream took to answer DNS requests',
    LABELS,
    { ...unstable, unit: 'seconds' },
  );
  const log = logger.scope('dns');
  return (event) => {
    const type = TYPE_NAMES.get(event.type) ?? `TYPE${event.type}`;
    const labels = [type.toLowerCase(), event.protocol, ...clientLabels(event.client)];
    requests.with(labels).inc();
    if (event.forwarded !== undefined) {
      upstream.with(labels).inc();
      duration.with(labels).observe(event.forwarded.ms / 1000);
      if (event.forwarded.failed) failures.with(labels).inc();
    }
    if (!log.enabled('debug')) return;
    log.debug('', {
      'src.workload': event.client?.name ?? 'unknown',
      'src.namespace': event.client?.namespace ?? 'unknown',
      query: type,
      domain: event.domain,
      result: event.result,
      endpoints: event.endpoints,
    });
  };
}

const clientLabels = (client: Workload | undefined): [service: string, revision: string] => [
  client?.canonicalName || 'unknown',
  client?.canonicalRevision || 'unknown',
];
