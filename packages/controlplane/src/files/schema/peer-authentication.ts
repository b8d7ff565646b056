import { checkMatchLabels } from './metadata.ts';
import { choice, map, object, refuse, type Path, type Report, type Schema, text } from './schema.ts';

export type MtlsMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT';

export interface PeerAuthenticationSpec {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly mtls?: { readonly mode?: MtlsMode };
  readonly portLevelMtls?: Readonly<Record<string, { readonly mode?: MtlsMode }>>;
}

const mtls: Schema<{ readonly mode?: MtlsMode }> = object<{ mode?: MtlsMode }>({
  mode: choice('UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'),
});

export const peerAuthenticationSpec: Schema<PeerAuthenticationSpec> = object<PeerAuthenticationSpec>(
  {
    selector: object<NonNullable<PeerAuthenticationSpec['selector']>>({ matchLabels: map(text) }),
    mtls,
    portLevelMtls: map(mtls, (key) =>
      /^\d{1,5}$/.test(key) && Number(key) >= 1 && Number(key) <= 65_535
        ? undefined
        : `expected a port from 1 to 65535, found ${key}`,
    ),
  },
  { rules: check },
);

function check(spec: PeerAuthenticationSpec, path: Path, report: Report): void {
  checkMatchLabels(spec.selector?.matchLabels, [...path, 'selector', 'matchLabels'], report);
  if (spec.portLevelMtls === undefined) return;
  const at = [...path, 'portLevelMtls'];
  if (Object.keys(spec.portLevelMtls).length === 0)
    refuse(report, at, 'portLevelMtls is empty: expected at least one port', 'key');
  if (Object.keys(spec.selector?.matchLabels ?? {}).length === 0)
    refuse(report, at, 'portLevelMtls expects a selector with labels: ports belong to workloads', 'key');
}
