import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '@ambit/common/errors';
import { record } from './fields.ts';
import { bootId } from './lock.ts';
import { loadRules, runCommand, tryCommand } from './run-command.ts';

const LINK = 'ambit-host';
const PEER = 'ambit-wan';
const TABLE = 'ambit_host';
const RANGE = '169.254.244.0/30';
const HOST_ADDRESS = '169.254.244.1';
const NODE_ADDRESS = '169.254.244.2';
const FORWARDING = '/proc/sys/net/ipv4/ip_forward';

/** What the host was like before, written before it is changed, so that whoever comes next can put it back. */
const recordFile = (stateDir: string): string => join(stateDir, 'host.json');

/** Sentences about why the host cannot lend its network; empty when it can. */
export async function internetProblems(): Promise<string[]> {
  const link = await tryCommand('ip', ['link', 'show', LINK]);
  if (link.code === 0)
    return [
      `the link ${LINK} exists already: another mesh with --internet is running, or remove it with "ip link del ${LINK}"`,
    ];
  const route = await tryCommand('ip', [
    '-4',
    'route',
    'show',
    'to',
    'match',
    RANGE,
    'table',
    'all',
    'type',
    'unicast',
  ]);
  const taken = route.stdout
    .split('\n')
    .find((line) => line.trim() !== '' && !line.startsWith('default') && !line.startsWith('0.0.0.0/0'));
  return taken === undefined
    ? []
    : [`the range ${RANGE}, which connects the mesh to this machine's network, is in use here: ${taken.trim()}`];
}

/** Connects the node's namespace with the host's network: a link, a route, and masquerading for what comes over it. */
export async function connectInternet(stateDir: string, nodePid: number): Promise<void> {
  writeFileSync(
    recordFile(stateDir),
    `${JSON.stringify({ forwarding: readFileSync(FORWARDING, 'utf8').trim(), bootId: bootId() })}\n`,
    {
      mode: 0o600,
    },
  );
  await runCommand('ip', ['link', 'add', LINK, 'type', 'veth', 'peer', 'name', PEER, 'netns', String(nodePid)]);
  await runCommand('ip', ['-batch', '-'], { input: `addr add ${HOST_ADDRESS}/30 dev ${LINK}\nlink set ${LINK} up\n` });
  await runCommand('nsenter', ['--target', String(nodePid), '--net', 'ip', '-batch', '-'], {
    input: `addr add ${NODE_ADDRESS}/30 dev ${PEER}\nlink set ${PEER} up\nroute add default via ${HOST_ADDRESS}\n`,
  });
  await loadRules(hostRules());
  writeFileSync(FORWARDING, '1');
}

/** Puts the host back as it was. @returns whether there was anything to put back. */
export async function disconnectInternet(stateDir: string): Promise<boolean> {
  const file = recordFile(stateDir);
  if (!existsSync(file)) return false;
  const before = readForwarding(file);
  await tryCommand('nft', ['delete', 'table', 'inet', TABLE]);
  await tryCommand('ip', ['link', 'del', LINK]);
  if (before !== undefined) writeFileSync(FORWARDING, before);
  rmSync(file);
  return true;
}

/** The host's side: only packets of the mesh's link are touched. */
const hostRules = (): string => `table inet ${TABLE}
delete table inet ${TABLE}
table inet ${TABLE} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${RANGE} oifname != "${LINK}" masquerade
  }
}
`;

function readForwarding(file: string): string | undefined {
  try {
    const { forwarding, bootId: boot } = record(JSON.parse(readFileSync(file, 'utf8')));
    // after a reboot the machine has decided anew
    return boot === bootId() && (forwarding === '0' || forwarding === '1') ? forwarding : undefined;
  } catch {
    return undefined; // SyntaxError: written half; forwarding is left as it is
  }
}

const LOOPBACK_SERVER = /^(127\.|::1$)/;
/** Where systemd-resolved names the servers behind its own on 127.0.0.53. */
const RESOLVED = '/run/systemd/resolve/resolv.conf';

/** The host's name servers, as another network namespace can reach them. @throws MeshError CONFIG when there are none. */
export function hostNameServers(parse: (text: string) => string[]): string[] {
  for (const file of ['/etc/resolv.conf', RESOLVED]) {
    const servers = existsSync(file)
      ? parse(readFileSync(file, 'utf8')).filter((one) => !LOOPBACK_SERVER.test(one))
      : [];
    if (servers.length > 0) return servers;
  }
  throw new MeshError(
    'CONFIG',
    'this machine names no DNS server that pods could reach (/etc/resolv.conf): give one with --dns',
  );
}
