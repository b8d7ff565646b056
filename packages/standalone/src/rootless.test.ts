import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type MachineView, preflight, searchPath, unshareCommand } from './rootless.ts';

const TOOLS = ['ip', 'nft', 'unshare', 'nsenter', 'mount'];
const machine = (
  change: Partial<MachineView> & { files?: Record<string, string>; tools?: string[] } = {},
): MachineView => ({
  platform: 'linux',
  uid: 1000,
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
  ['root needs none', machine({ uid: 0, read: () => undefined }), undefined],
];

test('each lack is one sentence that says how to get it', () => {
  for (const [name, view, problem] of cases) {
    const found = preflight(view);
    assert.is(found.length, problem === undefined ? 0 : 1, `${name}: ${found.join('; ')}`);
    if (problem !== undefined) assert.match(found[0] ?? '', problem, name);
  }
});

test('without root the mesh gets a user namespace of its own', () => {
  assert.ok(unshareCommand(1000).includes('--map-root-user'));
  assert.not(unshareCommand(0).includes('--user'));
  for (const uid of [0, 1000]) assert.ok(unshareCommand(uid).includes('--kill-child'));
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
