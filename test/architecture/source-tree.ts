import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** One source file as the boundary rules see it. */
export interface SourceFile {
  readonly path: string;
  /** The folder under packages/. */
  readonly package: string;
  readonly lines: number;
  /** The text without comments and string contents: what rules about code look at. */
  readonly code: string;
  /** Files of this tree that it imports; `typeOnly` imports vanish at run time. */
  readonly imports: readonly { readonly path: string; readonly typeOnly: boolean }[];
  /** Third-party packages and node: modules. */
  readonly modules: readonly string[];
}

const IMPORT = /^\s*(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
const DYNAMIC_IMPORT = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** Tests, and what only tests import: `x.fixture.ts`. */
export const isTestSupport = (path: string): boolean => /\.(test|fixture)\.ts$/.test(path);

/** Every production file of packages/, without tests. */
export function readSources(): SourceFile[] {
  return globSync('packages/*/src/**/*.ts')
    .filter((path) => !isTestSupport(path))
    .sort()
    .map(readSource);
}

function readSource(path: string): SourceFile {
  const text = readFileSync(path, 'utf8');
  const imports: { path: string; typeOnly: boolean }[] = [];
  const modules: string[] = [];
  for (const [specifier, typeOnly] of specifiers(text)) {
    const target = resolve(path, specifier);
    if (target === undefined) modules.push(specifier);
    else imports.push({ path: target, typeOnly });
  }
  return {
    path,
    package: path.split('/')[1] ?? '',
    lines: text.split('\n').length - 1,
    code: stripText(text),
    imports,
    modules,
  };
}

function specifiers(text: string): [string, boolean][] {
  const found: [string, boolean][] = [...text.matchAll(IMPORT)].map((match) => [
    match[2] ?? '',
    match[1] !== undefined,
  ]);
  return [...found, ...[...text.matchAll(DYNAMIC_IMPORT)].map((match): [string, boolean] => [match[1] ?? '', false])];
}

/** The file an import means, or undefined for a module from outside. */
function resolve(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return normalize(join(dirname(from), specifier));
  const match = /^@ambit\/([^/]+)(?:\/(.+))?$/.exec(specifier);
  if (match === null) return undefined;
  return `packages/${match[1]}/src/${match[2] ?? 'index'}.ts`;
}

/** Comments become blanks and strings become empty, so that words in them count for nothing. */
function stripText(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`/g,
    (match) =>
      match.startsWith('/') ? match.replace(/[^\n]/g, ' ') : `''${'\n'.repeat(match.split('\n').length - 1)}`,
  );
}
