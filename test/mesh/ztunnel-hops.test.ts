// deadline: 120s
import { test } from 'uvu';
import { enterNamespaces } from '../harness/netns.ts';

if (enterNamespaces(import.meta.url)) {
  const { ztunnelHopCases } = await import('./ztunnel-hops.cases.ts');
  ztunnelHopCases();
}
test.run();
