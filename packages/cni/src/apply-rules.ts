import { readFileSync } from 'node:fs';
import { MeshError } from '@ambit/common/errors';
import { type Netns, inNetns } from '@ambit/common/linux/netns';
import { type RedirectOptions, REPLY_ROUTING, redirectRules, removalRules } from './redirect-rules.ts';
import { type ToolCall, runTool } from './run-tool.ts';

/**
 * Puts a pod's redirect rules in force: all or nothing, and as often as one likes.
 * The routing comes first, as it does nothing without marks; the nftables transaction is the switch.
 * @throws MeshError CONFIG with what nft or ip said.
 */
export async function applyRules(netns: Netns, options: RedirectOptions): Promise<void> {
  const effective = { ...options, ipv6: options.ipv6 && hasIpv6(netns) };
  const rules = redirectRules(effective);
  await addReplyRouting(netns, '-4');
  if (effective.ipv6) await addReplyRouting(netns, '-6');
  await expect(netns, { tool: 'nft', arguments: ['-f', '-'], input: rules });
}

/** Takes the rules of a living pod away; what is not there is no error. */
export async function removeRules(netns: Netns): Promise<void> {
  await expect(netns, { tool: 'nft', arguments: ['-f', '-'], input: removalRules() });
  for (const family of ['-4', '-6']) {
    // An ip rule has no identity: each deletion takes one, until there is none left.
    for (let left = MAX_DUPLICATES; left > 0; left -= 1) {
      const { exitCode } = await runTool(netns, ip(family, 'rule', 'del', ...REPLY_ROUTING.rule.split(' ')));
      if (exitCode !== 0) break;
    }
    await runTool(netns, ip(family, 'route', 'flush', 'table', REPLY_ROUTING.table));
  }
}

const MAX_DUPLICATES = 8;

async function addReplyRouting(netns: Netns, family: '-4' | '-6'): Promise<void> {
  const everything = family === '-4' ? '0.0.0.0/0' : '::/0';
  const added = await runTool(netns, ip(family, 'rule', 'add', ...REPLY_ROUTING.rule.split(' ')));
  if (added.exitCode !== 0 && !added.errors.includes('File exists')) throw refused('ip rule', added.errors);
  await expect(netns, ip(family, 'route', 'replace', 'local', everything, 'dev', 'lo', 'table', REPLY_ROUTING.table));
}

const ip = (...words: string[]): ToolCall => ({ tool: 'ip', arguments: words });

async function expect(netns: Netns, call: ToolCall): Promise<void> {
  const { exitCode, errors } = await runTool(netns, call);
  if (exitCode !== 0) throw refused([call.tool, ...call.arguments].join(' '), errors);
}

function refused(what: string, errors: string): MeshError {
  return new MeshError(
    'CONFIG',
    `the redirect rules were refused by "${what}": ${errors.trim().split('\n', 3).join(' ') || 'no reason given'}`,
  );
}

/** Read by this thread while inside: /proc/sys/net shows the namespace of whoever opens it. */
function hasIpv6(netns: Netns): boolean {
  return inNetns(netns, () => {
    try {
      return readFileSync('/proc/sys/net/ipv6/conf/lo/disable_ipv6', 'latin1').trim() !== '1';
    } catch {
      // ENOENT: the kernel has no IPv6
      return false;
    }
  });
}
