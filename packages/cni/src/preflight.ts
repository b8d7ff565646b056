import { MeshError } from '@ambit/common/errors';
import { redirectRules } from './redirect-rules.ts';
import { HOW_TO_GET, runTool } from './run-tool.ts';

/**
 * Makes sure that redirect rules can be loaded on this machine.
 * @throws MeshError CONFIG naming the programs that are missing and how to get them, or what the kernel refuses.
 */
export async function preflight(): Promise<void> {
  const missing: string[] = [];
  if (!(await runs('nft', '--version'))) missing.push('nft');
  if (!(await runs('ip', '-V'))) missing.push('ip');
  if (missing.length > 0)
    throw new MeshError('CONFIG', `${missing.join(' and ')} cannot be found on this machine; ${HOW_TO_GET}`);
  const rules = redirectRules({ dnsCapture: true, bypassInbound: false, ipv6: true });
  const { exitCode, errors } = await runTool(undefined, { tool: 'nft', arguments: ['-c', '-f', '-'], input: rules });
  if (exitCode !== 0)
    throw new MeshError(
      'CONFIG',
      `the kernel refuses the redirect rules: ${errors.trim().split('\n', 1).join('')} (nf_tables with nat, redirect and ct support is needed, and CAP_NET_ADMIN)`,
    );
}

async function runs(tool: string, argument: string): Promise<boolean> {
  try {
    return (await runTool(undefined, { tool, arguments: [argument] })).exitCode === 0;
  } catch {
    // ENOENT: it is not installed
    return false;
  }
}
