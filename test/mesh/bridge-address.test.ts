import { parseIp } from '@ambit/common/address/ip';
import { addPodNetwork, BRIDGE, setUpNode } from '@ambit/standalone/cluster';
import { runCommand } from '@ambit/standalone/run-command';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { enterNamespaces } from '../harness/netns.ts';

const addressOf = async (link: string): Promise<string | undefined> =>
  /link\/ether (\S+)/.exec(await runCommand('ip', ['link', 'show', link]))?.[1];

if (enterNamespaces(import.meta.url)) {
  // A Linux bridge without an address of its own takes the lowest of its ports'. Pods that know the old one send into nothing
  // until their neighbour table has noticed: first calls after a new pod had come hung for eight seconds and more.
  test('the node keeps its link address when a pod with a lower one comes and goes', async () => {
    await setUpNode();
    const ip = parseIp('10.244.0.2');
    assert.ok(ip);
    await addPodNetwork({ netns: 'first', link: 'first', addresses: [ip] });
    const before = await addressOf(BRIDGE);
    assert.ok(before);
    await runCommand('ip', [
      'link',
      'add',
      'low',
      'address',
      '02:00:00:00:00:01',
      'type',
      'veth',
      'peer',
      'name',
      'low-peer',
    ]);
    await runCommand('ip', ['link', 'set', 'low', 'master', BRIDGE, 'up']);
    assert.is(await addressOf(BRIDGE), before);
    await runCommand('ip', ['link', 'del', 'low']);
    assert.is(await addressOf(BRIDGE), before);
  });
}

test.run();
