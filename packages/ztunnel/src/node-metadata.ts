import type { Json, JsonObject } from '@ambit/common/proto/struct';
import type { Config } from './config.ts';

/** Who this agent is on the ADS stream, in the form istiod parses: `ztunnel~ip~pod.namespace~domain`. */
export function adsNode(config: Config): { readonly id: string; readonly metadata: JsonObject } {
  const { instanceIp, podName, podNamespace, nodeName } = config;
  const metadata: Record<string, Json> = {
    NAME: podName,
    NAMESPACE: podNamespace,
    INSTANCE_IPS: instanceIp,
    NODE_NAME: nodeName,
    ...config.metadata,
    ...config.jsonMetadata,
  };
  return { id: `ztunnel~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`, metadata };
}
