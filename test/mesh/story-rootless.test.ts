// deadline: 120s
import { test } from 'uvu';
import { withoutRoot } from '../harness/unprivileged.ts';
import { storyCases } from './story.cases.ts';

if (withoutRoot(import.meta.url)) storyCases();

test.run();
