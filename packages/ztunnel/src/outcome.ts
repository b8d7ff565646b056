import { asMeshError, type ErrorCode, MeshError } from '@ambit/common/errors';
import type { SpliceResult } from '@ambit/common/net/splice';
import type { Outcome } from './telemetry/connection-record.ts';

/** Ends that this program brought about, or that the operator has to know of. A peer that resets or goes away is everyday life. */
const REPORTED: ReadonlySet<ErrorCode> = new Set(['POLICY_DENIED', 'DRAINING', 'CERT_REVOKED', 'LIMIT', 'INTERNAL']);

/** How a copy that has ended is reported. Resets have been passed on to the other side; as in Istio they count as an end. */
export function spliceOutcome({ error }: SpliceResult): Outcome {
  if (error instanceof MeshError && REPORTED.has(error.code)) return { error };
  return {};
}

/** A failure before any byte was carried. */
export const failedOutcome = (error: unknown): Outcome => ({ error: asMeshError(error) });
