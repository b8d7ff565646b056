import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Command, EXIT, UsageError } from './command.ts';
import { helpText } from './help.ts';
import { parseLine } from './parse.ts';

const verb = (name: string, more: Partial<Command> = {}): Command => ({
  name,
  summary: `${name} things`,
  run: async () => EXIT.ok,
  ...more,
});
const ROOT: Command = {
  name: 'ambit',
  summary: 'root',
  commands: [
    verb('get', {
      flags: [
        { name: 'output', short: 'o', value: 'FORMAT', summary: 'format' },
        { name: 'all-namespaces', short: 'A', summary: 'all' },
        { name: 'watch', short: 'w', summary: 'watch' },
      ],
    }),
    verb('waypoint', {
      commands: [
        verb('apply', { flags: [{ name: 'file', short: 'f', value: 'FILE', multiple: true, summary: 'file' }] }),
      ],
      flags: [{ name: 'name', value: 'NAME', summary: 'name' }],
    }),
    verb('exec', { passesRest: true }),
    verb('apply', { flags: [{ name: 'dry-run', words: ['server'], summary: 'try' }] }),
  ],
};

const parsed = (
  line: string,
): { path: string; args: readonly string[]; rest: readonly string[]; flag: (name: string) => readonly string[] } => {
  const result = parseLine(ROOT, line.split(' '));
  return {
    path: result.path.map((one) => one.name).join(' '),
    args: result.args,
    rest: result.rest,
    flag: (name) => result.flags.all(name),
  };
};

test('flags may stand anywhere, in every spelling', () => {
  for (const line of [
    'get pods -o json -A',
    'get -A pods -ojson',
    'get pods --output=json -A',
    '-n x get pods -A --output json',
    'get pods -Ao json',
  ]) {
    const result = parsed(line);
    assert.is(result.path, 'ambit get', line);
    assert.equal(result.args, ['pods'], line);
    assert.equal(result.flag('output'), ['json'], line);
    assert.equal(result.flag('all-namespaces'), ['true'], line);
  }
});

test('subcommands take the flags of their group and collect repeated ones', () => {
  const result = parsed('waypoint apply --name w -f a -f b -n istio-egress');
  assert.is(result.path, 'ambit waypoint apply');
  assert.equal(result.flag('file'), ['a', 'b']);
  assert.equal(result.flag('name'), ['w']);
  assert.equal(result.flag('namespace'), ['istio-egress']);
});

test('everything behind -- is the command to run', () => {
  const result = parsed('exec deploy/curl -- curl -si -n http://x');
  assert.equal(result.args, ['deploy/curl']);
  assert.equal(result.rest, ['curl', '-si', '-n', 'http://x']);
});

test('behind -- stand plain words for every other command', () => {
  assert.equal(parsed('get pods -- -x').args, ['pods', '-x']);
});

test('a switch can be turned off, and have words of its own', () => {
  assert.equal(parsed('apply --dry-run=server').flag('dry-run'), ['server']);
  assert.equal(parsed('apply --dry-run').flag('dry-run'), ['true']);
  assert.equal(parsed('get pods --watch=false').flag('watch'), []);
});

for (const [line, message, command] of [
  ['gte pods', 'unknown command "gte"; did you mean "get"?', 'ambit'],
  ['frobnicate', 'unknown command "frobnicate"', 'ambit'],
  ['get --nope', 'unknown flag: --nope', 'ambit get'],
  ['get --outptu=json', 'unknown flag: --outptu; did you mean "--output"?', 'ambit get'],
  ['waypoint applly', 'unknown command "applly"; did you mean "apply"?', 'ambit waypoint'],
  ['get -z', 'unknown flag: -z', 'ambit get'],
  ['get pods -o', '--output needs a value (FORMAT)', 'ambit get'],
  ['get pods --watch=maybe', '--watch is true or false, not "maybe"', 'ambit get'],
] as const) {
  test(`refuses: ambit ${line}`, () => {
    assert.throws(
      () => parsed(line),
      (error: Error) =>
        error instanceof UsageError &&
        error.message === message &&
        error.path?.map((one) => one.name).join(' ') === command,
    );
  });
}

test('help names usage, flags and commands', () => {
  const text = helpText(parseLine(ROOT, ['waypoint']).path);
  assert.match(text, /Usage:\n {2}ambit waypoint COMMAND \[flags\]/);
  assert.match(text, /apply {3}apply things/);
  assert.match(text, /--name NAME {3,}name/);
  assert.match(text, /-n, --namespace NAME/);
});

test.run();
