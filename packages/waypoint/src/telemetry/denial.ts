import { formatHostPort } from '@ambit/common/address/host-port';
import { describeVerdict } from '@ambit/common/authz/explain';
import type { Verdict } from '@ambit/common/authz/verdict';
import type { LogFields } from '@ambit/common/telemetry/log';
import type { ConnectionFacts } from '../authorize/attributes.ts';
import type { ServedDestination } from '../decision.ts';
import type { ExchangeRecord } from './exchange-record.ts';

/** Policies that are named in one line; further ones are counted. */
const MAX_CONSIDERED = 16;

/** Which rule refused, or which ALLOW rule came nearest and what it wanted. */
export const denialMessage = (verdict: Verdict): string => `denied: ${describeVerdict(verdict)}`;

/** Which ALLOW rule let it through. */
export const allowanceMessage = (verdict: Verdict): string => describeVerdict(verdict);

/** Who wanted what, and every policy that was considered. */
export function denialFields(
  verdict: Verdict,
  facts: ConnectionFacts,
  destination: ServedDestination,
  record: ExchangeRecord,
): LogFields {
  return {
    'src.addr': formatHostPort(facts.source.ip, facts.source.port),
    'src.identity': facts.identity.uri,
    'dst.addr': formatHostPort(facts.destination.ip, facts.destination.port),
    'dst.service': destination.listener?.hostname,
    method: record.method || undefined,
    path: record.path || undefined,
    sni: record.sni || undefined,
    request_id: record.requestId || undefined,
    considered: considered(verdict),
  };
}

/** What the policies that are not enforced would have decided, the strictest first; AUDIT decides nothing. */
export function shadowMessage({ shadow }: Verdict): string {
  if (shadow.some(({ action }) => action === 'DENY')) return 'dry-run: deny policy match';
  return shadow.some(({ action }) => action === 'ALLOW') ? 'dry-run: allow policy match' : 'audit: policy match';
}

/** Who wanted what, every such policy that matched, and what the enforced ones decided. */
export function shadowFields(...[verdict, facts, destination, record]: Parameters<typeof denialFields>): LogFields {
  const named = verdict.shadow.slice(0, MAX_CONSIDERED);
  const more = verdict.shadow.length - named.length;
  const matched = named.map(({ action, policy, rule }) => `${action} ${policy} rule ${rule}`).join(', ');
  return {
    ...denialFields(verdict, facts, destination, record),
    matched: matched + (more > 0 ? `, and ${more} more` : ''),
    considered: undefined,
    decision: verdict.allowed ? 'allowed' : 'denied',
  };
}

function considered(verdict: Verdict): string | undefined {
  const all = verdict.explanation?.considered ?? [];
  if (all.length === 0) return undefined;
  const named = all.slice(0, MAX_CONSIDERED).map(({ policy, action, outcome }) => `${policy} ${action} ${outcome}`);
  const more = all.length - named.length;
  return named.join(', ') + (more > 0 ? `, and ${more} more` : '');
}
