import type { Netns } from '@ambit/common/linux/netns';
import type { PodSocketOptions } from './capture/pod-sockets.ts';
import type { Config } from './config.ts';

/**
 * How sockets are made in a pod's namespace. In our own they carry no mark and no foreign address, unless it is that of the one
 * workload of dedicated mode.
 */
export function podSocketOptions(config: Config, netns: Netns | undefined): PodSocketOptions {
  const { keepaliveTimeMs, keepaliveIntervalMs, keepaliveRetries: probes } = config;
  const keepalive = {
    idleSeconds: Math.max(1, Math.round(keepaliveTimeMs / 1000)),
    intervalSeconds: Math.max(1, Math.round(keepaliveIntervalMs / 1000)),
    probes,
  };
  const own = netns === undefined && config.proxyMode === 'shared';
  return {
    netns,
    mark: own ? undefined : config.packetMark,
    ipv6: config.ipv6,
    reusePort: config.portReuse,
    originalSource: own ? false : (config.origSrc ?? 'try'),
    keepalive: config.keepaliveEnabled ? keepalive : undefined,
    userTimeoutMs: config.userTimeoutEnabled ? keepaliveTimeMs + probes * keepaliveIntervalMs : undefined,
  };
}
