const PREFIX = 'type.googleapis.com/';

/** Type URLs on the ADS stream: Istio's two, and ours for the waypoint. */
export const ADDRESS: string = `${PREFIX}istio.workload.Address`;
export const AUTHORIZATION: string = `${PREFIX}istio.security.Authorization`;
export const L7_LISTENER: string = `${PREFIX}ambit.l7.v1.Listener`;
export const L7_BACKEND: string = `${PREFIX}ambit.l7.v1.Backend`;
export const L7_POLICY: string = `${PREFIX}ambit.l7.v1.Policy`;
export const L7_CREDENTIAL: string = `${PREFIX}ambit.l7.v1.Credential`;
export const L7_PROXY: string = `${PREFIX}ambit.l7.v1.Proxy`;

/** `istio.workload.Address` for `type.googleapis.com/istio.workload.Address`: what logs say. */
export const shortType = (typeUrl: string): string => typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
