import type { Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { type Unset, message } from '../proto/load.ts';
import { type WireService, serviceFromWire, serviceToWire } from './service.ts';
import { refuse } from './wire-enum.ts';
import { type WireWorkload, workloadFromWire, workloadToWire } from './workload.ts';

/** What one `istio.workload.Address` resource holds. */
export type AddressResource =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'service'; readonly service: Service };

const ADDRESS = message<{ readonly workload: WireWorkload | Unset; readonly service: WireService | Unset }>(
  'istio.workload.Address',
);

/** `istio.workload.Address` of a workload; its resource name is the uid. */
export const encodeWorkload = (workload: Workload): Uint8Array =>
  ADDRESS.encode({ workload: workloadToWire(workload) });

/** `istio.workload.Address` of a service; its resource name is `namespace/hostname`. */
export const encodeService = (service: Service): Uint8Array => ADDRESS.encode({ service: serviceToWire(service) });

/** @throws MeshError CONFIG naming the resource and the field at fault. */
export function decodeAddress(bytes: Uint8Array): AddressResource {
  const { workload, service } = ADDRESS.decode(bytes);
  if (workload) return { kind: 'workload', workload: workloadFromWire(workload) };
  if (service) return { kind: 'service', service: serviceFromWire(service) };
  return refuse('address', 'type', 'unknown address type');
}
