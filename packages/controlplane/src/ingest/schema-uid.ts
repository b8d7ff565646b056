import type { WorkloadUid } from '@ambit/common/model/workload';

/** The one constructor of workload uids on this side of the wire: `<cluster>/<group>/<kind>/<namespace>/<name>[/<address>]`. */
export const workloadUid = (text: string): WorkloadUid => text as WorkloadUid;
