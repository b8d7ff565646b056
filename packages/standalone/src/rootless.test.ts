import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type MachineView, isPrivileged, preflight, searchPath, unshareCommand } from './rootless.ts';

const TOOLS = ['ip', 'nft', 'unshare', 'nsenter', 'mount'];
const machine = (
  change: Partial<MachineView> & { files?: Record<string, string>; tools?: string[] } = {},
): MachineView => ({
  platform: 'linux',
  privileged: false,
  path: '/usr/bin',
  read: (file) => ({ '/proc/sys/user/max_user_namespaces': '1000\n', ...change.files })[file],
  executable: (file) => (change.tools ?? TOOLS).some((tool) => file === `/usr/sbin/${tool}`),
  ...change,
});

const cases: readonly (readonly [name: string, view: MachineView, problem: RegExp | undefined])[] = [
  ['all is there', machine(), undefined],
  ['not Linux', machine({ platform: 'darwin' }), /runs darwin.*use a Linux machine/],
  ['no nft', machine({ tools: TOOLS.filter((tool) => tool !== 'nft') }), /"nft" not found.*apt-get install nftables/],
  ['no util-linux', machine({ tools: ['ip', 'nft', 'mount'] }), /"unshare", "nsenter" not found.*install util-linux"/],
  [
    'no user namespaces in the kernel',
    machine({ read: () => undefined }),
    /no user namespaces: run as root, or use a kernel/,
  ],
  [
    'switched off',
    machine({ files: { '/proc/sys/kernel/unprivileged_userns_clone': '0' } }),
    /sysctl kernel\.unprivileged_userns_clone=1/,
  ],
  [
    'none allowed',
    machine({ files: { '/proc/sys/user/max_user_namespaces': '0' } }),
    /sysctl user\.max_user_namespaces=10000/,
  ],
  [
    'AppArmor',
    machine({ files: { '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1' } }),
    /AppArmor forbids/,
  ],
  ['root needs none', machine({ privileged: true, read: () => undefined }), undefined],
];

test('each lack is one sentence that says how to get it', () => {
  for (const [name, view, problem] of cases) {
    const found = preflight(view);
    assert.is(found.length, problem === undefined ? 0 : 1, `${name}: ${found.join('; ')}`);
    if (problem !== undefined) assert.match(found[0] ?? '', problem, name);
  }
});

test('without root the mesh gets a user namespace of its own', () => {
  assert.ok(unshareCommand(false).includes('--map-root-user'));
  assert.not(unshareCommand(true).includes('--user'));
  for (const root of [true, false]) assert.ok(unshareCommand(root).includes('--kill-child'));
});

test('root without its rights is no root', () => {
  const status = (uid: number, caps: string): string => `Name:\tnode\nUid:\t${uid}\t${uid}\t0\t0\nCapEff:\t${caps}\n`;
  assert.ok(isPrivileged(status(0, '000001ffffffffff')));
  assert.not(isPrivileged(status(0, '00000000a80425fb')));
  assert.not(isPrivileged(status(1000, '000001ffffffffff')));
  assert.not(isPrivileged(''));
});

test('the search path adds the sbin folders once', () => {
  assert.is(
    searchPath('/usr/bin:/usr/sbin')
      .split(':')
      .filter((part) => part === '/usr/sbin').length,
    1,
  );
  assert.ok(searchPath('').split(':').includes('/sbin'));
});

test.run();
