import { MeshError } from '@ambit/common/errors';
import { type Message, message } from '@ambit/common/proto/load';

/** What the node agent is told; one packet each. */
export type ZdsRequest =
  | { readonly add: { readonly uid: string; readonly workloadInfo: ZdsWorkloadInfo } }
  | { readonly keep: { readonly uid: string } }
  | { readonly del: { readonly uid: string } }
  | { readonly snapshotSent: Record<string, never> };

export interface ZdsWorkloadInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Both ends read into a buffer of this size; a larger packet is an error. */
export const ZDS_PACKET_BYTES = 1024;

const VERSION_1 = 1;

const HELLO: Message<{ version: number }> = message('istio.workload.zds.ZdsHello');
const REQUEST: Message<Record<string, unknown>> = message('istio.workload.zds.WorkloadRequest');
const RESPONSE: Message<{ ack?: { error: string } | null }> = message('istio.workload.zds.WorkloadResponse');

/**
 * One request as its packet.
 * @throws MeshError CONFIG when names are too long to fit.
 */
export function encodeRequest(request: ZdsRequest): Uint8Array {
  const bytes = REQUEST.encode(request);
  if (bytes.length > ZDS_PACKET_BYTES)
    throw new MeshError(
      'CONFIG',
      `a pod's names take ${bytes.length} bytes, more than the ${ZDS_PACKET_BYTES} of a packet`,
    );
  return bytes;
}

/** @throws MeshError CONFIG when the agent speaks another version, or no ZDS at all. */
export function checkHello(bytes: Uint8Array): void {
  const { version } = HELLO.decode(bytes);
  if (version !== VERSION_1)
    throw new MeshError('CONFIG', `the node agent speaks ZDS version ${version}; only ${VERSION_1} is known`);
}

/** The error of an acknowledgement, empty for success. @throws MeshError CONFIG when it is no acknowledgement. */
export function decodeAck(bytes: Uint8Array): string {
  const { ack } = RESPONSE.decode(bytes);
  if (ack === undefined || ack === null)
    throw new MeshError('CONFIG', 'the node agent answered with no acknowledgement');
  return ack.error;
}
