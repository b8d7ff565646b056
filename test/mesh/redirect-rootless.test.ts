import { test } from 'uvu';
import { enterNamespaces } from '../harness/netns.ts';

if (enterNamespaces(import.meta.url, 'rootless')) {
  const { redirectCases } = await import('./redirect.cases.ts');
  redirectCases();
}
test.run();
