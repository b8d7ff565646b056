// deadline: 120s
import { test } from 'uvu';
import { storyCases } from './story.cases.ts';

if (process.getuid?.() === 0) storyCases();
// without root the other file tells the whole story
else test.skip('needs root', () => undefined);

test.run();
