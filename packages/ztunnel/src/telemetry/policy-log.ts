import type { Verdict } from '@ambit/common/authz/verdict';
import type { Workload } from '@ambit/common/model/workload';
import type { Logger } from '@ambit/common/telemetry/log';

const SHADOW_MESSAGES = {
  ALLOW: 'dry-run: allow policy match',
  DENY: 'dry-run: deny policy match',
  AUDIT: 'audit policy match',
} as const;

const MESSAGES: Readonly<Record<Verdict['reason'], string>> = {
  'no-allow-policies': 'no allow policies, allow',
  'allow-matched': 'allow policy match',
  'deny-matched': 'deny policy match',
  'none-allowed': 'no allow policies matched',
};

/** Tells each decision on the scope `access`: at debug, or at info when asked to (AUTHZ_POLICY_INFO_LOGGING). */
export function policyLogger(logger: Logger, atInfo: boolean): (workload: Workload, verdict: Verdict) => void {
  const log = logger.scope('access');
  return (_workload, verdict) => {
    if (!log.enabled(atInfo ? 'info' : 'debug')) return;
    const write = (message: string, policy: string | undefined): void =>
      atInfo ? log.info(message, { policy }) : log.debug(message, { policy });
    for (const shadow of verdict.shadow) write(SHADOW_MESSAGES[shadow.action], shadow.policy);
    write(MESSAGES[verdict.reason], verdict.decidedBy?.policy);
  };
}
