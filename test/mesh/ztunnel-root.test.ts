// deadline: 120s
import { test } from 'uvu';
import { enterNamespaces } from '../harness/netns.ts';

if (enterNamespaces(import.meta.url, 'root')) {
  const { ztunnelCases } = await import('./ztunnel.cases.ts');
  ztunnelCases();
}
test.run();
