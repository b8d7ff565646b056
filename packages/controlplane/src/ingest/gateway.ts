import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import type { KubeObject } from '../collections/object.ts';
import { gatewayClassSpec, type GatewayListener, type GatewaySpec, gatewaySpec } from '../files/schema/gateway.ts';
import { list, object, read, type Schema, text } from '../files/schema/schema.ts';
import { memoized } from './memoized.ts';

export interface GatewayForm {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly name: string;
  readonly className: string;
  readonly spec: GatewaySpec;
  readonly listeners: readonly GatewayListener[];
  /** From its status: empty while nothing answers there. */
  readonly hostname: string | undefined;
  readonly ip: IpAddress | undefined;
}

interface GatewayStatus {
  readonly addresses?: readonly { readonly type?: string; readonly value?: string }[];
}

const status: Schema<GatewayStatus> = object<GatewayStatus>({
  addresses: list(object<{ type?: string; value?: string }>({ type: text, value: text })),
});

export const ingestGateway: (gateway: KubeObject) => GatewayForm | undefined = memoized((gateway) => {
  const spec = read(gatewaySpec, gateway.spec);
  if (spec === undefined) return undefined;
  const addresses = read(status, gateway.status ?? {})?.addresses ?? [];
  return {
    object: gateway,
    namespace: gateway.metadata.namespace ?? 'default',
    name: gateway.metadata.name,
    className: spec.gatewayClassName,
    spec,
    listeners: spec.listeners,
    hostname: addresses.find((one) => one.type === 'Hostname')?.value,
    ip: addresses
      .filter((one) => one.type === undefined || one.type === 'IPAddress')
      .map((one) => parseIp(one.value ?? ''))
      .find((ip) => ip !== undefined),
  };
});

/** The controller that a GatewayClass names. */
export const ingestGatewayClass: (gatewayClass: KubeObject) => string | undefined = memoized(
  (gatewayClass) => read(gatewayClassSpec, gatewayClass.spec)?.controllerName,
);
