import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readSources, type SourceFile } from './source-tree.ts';

const sources = readSources();
const byPath = new Map(sources.map((file) => [file.path, file]));

/** Who may import whom; a package may always import itself. Programs meet on the wire. */
const DIRECTIONS: Readonly<Record<string, readonly string[]>> = {
  common: [],
  http: ['common'],
  hbone: ['common', 'http'],
  ztunnel: ['common', 'http', 'hbone'],
  waypoint: ['common', 'http', 'hbone'],
  controlplane: ['common'],
  cni: ['common'],
  standalone: ['common', 'cni', 'controlplane'],
  cli: ['common', 'standalone'],
  console: ['common'],
};

/** One door per third party: who else needs it asks the door. */
const DOORS: readonly { readonly module: RegExp; readonly allowed: RegExp }[] = [
  { module: /^koffi$/, allowed: /^packages\/common\/src\/linux\// },
  { module: /^@grpc\/grpc-js$/, allowed: /^packages\/(common\/src\/(xds|identity|proto)|controlplane\/src\/serve)\// },
  { module: /^protobufjs/, allowed: /^packages\/common\/src\/proto\// },
  { module: /^node-forge$/, allowed: /^packages\/(common\/src\/identity|controlplane\/src\/serve)\// },
  { module: /^@kubernetes\/client-node$/, allowed: /\/kube\// },
  { module: /^pino$/, allowed: /^packages\/standalone\/src\/mesh-log\.ts$/ },
  {
    module: /^yaml$/,
    allowed: /^packages\/((controlplane\/src\/files|standalone\/src\/api|cli\/src)\/|ztunnel\/src\/local-config\.ts$)/,
  },
];

/** Tables may be longer than 400 lines: nobody reads them from top to bottom. */
const LONG_TABLES = new Set<string>(['packages/http/src/hpack/tables.ts']);

/** Where `as` may stand: constructors of brands, codecs (untyped bytes become typed values) and the FFI door. */
const CASTS_ALLOWED = [
  /^packages\/common\/src\/(codec|proto|address|linux)\//,
  /^packages\/common\/src\/model\/brand/,
  /^packages\/controlplane\/src\/(files|ingest)\/schema/,
];

const list = (problems: readonly string[]): string => `\n  ${problems.join('\n  ')}\n`;
const none = (problems: readonly string[]): void => assert.ok(problems.length === 0, list(problems));

test('packages import only in the agreed directions', () => {
  const problems: string[] = [];
  for (const file of sources) {
    for (const { path } of file.imports) {
      const target = path.split('/')[1] ?? '';
      if (target !== file.package && !DIRECTIONS[file.package]?.includes(target))
        problems.push(`${file.path} → ${path}`);
      if (path.endsWith('/main.ts') && path !== file.path) problems.push(`${file.path} imports the program ${path}`);
      if (!path.startsWith('packages/')) problems.push(`${file.path} imports ${path} from outside packages/`);
      if (!byPath.has(path)) problems.push(`${file.path} imports ${path}, which does not exist`);
    }
  }
  none(problems);
});

test('no file is part of an import cycle', () => {
  const state = new Map<string, 'open' | 'done'>();
  const problems: string[] = [];
  const visit = (file: SourceFile, trail: readonly string[]): void => {
    state.set(file.path, 'open');
    for (const { path, typeOnly } of file.imports) {
      const target = byPath.get(path);
      if (target === undefined || typeOnly) continue;
      if (state.get(path) === 'open') problems.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
      else if (state.get(path) === undefined) visit(target, [...trail, path]);
    }
    state.set(file.path, 'done');
  };
  for (const file of sources) if (!state.has(file.path)) visit(file, [file.path]);
  none(problems);
});

test('third parties are imported through their one door', () => {
  const problems: string[] = [];
  for (const file of sources) {
    for (const module of file.modules) {
      if (module.startsWith('node:')) continue;
      const door = DOORS.find((one) => one.module.test(module));
      if (door === undefined) problems.push(`${file.path} imports ${module}, which has no door`);
      else if (!door.allowed.test(file.path)) problems.push(`${file.path} imports ${module} past its door`);
    }
  }
  none(problems);
});

test('no file is longer than 400 lines', () => {
  none(
    sources
      .filter((file) => file.lines > 400 && !LONG_TABLES.has(file.path))
      .map((file) => `${file.path}: ${file.lines}`),
  );
});

/** The door to the kernel is one folder, so what only one package asks of it stands there, too. */
const DOOR_TO_THE_KERNEL = /^packages\/common\/src\/linux\//;

test('every file of common serves at least two packages', () => {
  const users = new Map<string, Set<string>>();
  const reach = (file: SourceFile, user: string): void => {
    const known = users.get(file.path) ?? new Set<string>();
    if (known.has(user)) return;
    users.set(file.path, known.add(user));
    for (const { path } of file.imports) {
      const target = byPath.get(path);
      if (target !== undefined) reach(target, user);
    }
  };
  for (const file of sources) if (file.package !== 'common') reach(file, file.package);
  none(
    sources
      .filter((file) => file.package === 'common' && !DOOR_TO_THE_KERNEL.test(file.path))
      .filter((file) => (users.get(file.path)?.size ?? 0) < 2)
      .map((file) => `${file.path} is used by ${[...(users.get(file.path) ?? [])].join(', ') || 'nobody'}`),
  );
});

test('the environment is read in config.ts only', () => {
  none(
    sources
      .filter((file) => !file.path.endsWith('/config.ts') && /\bprocess\.env\b/.test(file.code))
      .map((file) => file.path),
  );
});

test('types are asserted only where brands and codecs are made', () => {
  const problems: string[] = [];
  for (const file of sources) {
    if (CASTS_ALLOWED.some((allowed) => allowed.test(file.path))) continue;
    file.code.split('\n').forEach((line, index) => {
      if (/^\s*(import|export)\b/.test(line) || /^\s*(type )?\w+ as \w+,?$/.test(line)) return;
      if (/[\w)\]}'>] as (?!const\b)/.test(line)) problems.push(`${file.path}:${index + 1}: ${line.trim()}`);
    });
  }
  none(problems);
});

test('file names say what is inside', () => {
  none(
    sources.filter((file) => /\/(utils?|helpers?|misc|manager|types)\.ts$/.test(file.path)).map((file) => file.path),
  );
});

test('stages of a program never import another stage', () => {
  const stage = /^packages\/(ztunnel|waypoint)\/src\/(capture|classify|authorize|transform|telemetry|upstream|dns)\//;
  const problems: string[] = [];
  for (const file of sources) {
    const own = stage.exec(file.path);
    for (const { path, typeOnly } of file.imports) {
      const other = stage.exec(path);
      if (own === null || other === null || typeOnly || own[1] !== other[1]) continue;
      if (own[2] !== other[2]) problems.push(`${file.path} → ${path}`);
    }
  }
  none(problems);
});

test.run();
