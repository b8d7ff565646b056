import { parseDocument, type ScalarTag, type CollectionTag, YAMLSeq } from 'yaml';
import { MeshError } from '@ambit/common/errors';

/** The part of Istio's ProxyConfig that a node agent obeys; what is written there for other programs is theirs. */
export interface ProxyConfig {
  readonly discoveryAddress: string | undefined;
  readonly proxyAdminPort: number | undefined;
  readonly statsPort: number | undefined;
  readonly concurrency: number | undefined;
  /** ISTIO_META_ prefixes stripped. */
  readonly proxyMetadata: Readonly<Record<string, string>>;
}

/**
 * `defaultConfig` of the mesh file, and PROXY_CONFIG over it, field by field; of the metadata entry by entry.
 * @throws MeshError CONFIG naming the source and the field that is not understood.
 */
export function readProxyConfig(meshFile: string | undefined, proxyConfig: string | undefined): ProxyConfig {
  const mesh = mappingOf(meshFile, 'the mesh file');
  const base = mappingAt(mesh, 'defaultConfig', 'the mesh file');
  const over = mappingOf(proxyConfig, 'PROXY_CONFIG');
  const sources = [
    { name: 'the mesh file, defaultConfig', fields: base },
    { name: 'PROXY_CONFIG', fields: over },
  ];
  const last = <T>(field: string, read: (value: unknown) => T | undefined, accepts: string): T | undefined =>
    sources.reduce<T | undefined>((before, { name, fields }) => {
      const value = fields[field];
      if (value === undefined || value === null) return before;
      const found = read(value);
      if (found === undefined)
        throw new MeshError('CONFIG', `${name}: ${field}=${JSON.stringify(value)} (accepted: ${accepts})`);
      return found;
    }, undefined);
  return {
    discoveryAddress: last('discoveryAddress', (value) => (typeof value === 'string' ? value : undefined), 'text'),
    proxyAdminPort: last('proxyAdminPort', portNumber, 'a port from 1 to 65535'),
    statsPort: last('statsPort', portNumber, 'a port from 1 to 65535'),
    concurrency: last('concurrency', wholeNumber, 'a whole number, 0 for all cores'),
    proxyMetadata: Object.assign({}, ...sources.map(({ name, fields }) => metadataOf(fields, name))),
  };
}

const META_PREFIX = 'ISTIO_META_';

function metadataOf(fields: Readonly<Record<string, unknown>>, source: string): Record<string, string> {
  const entries = mappingAt(fields, 'proxyMetadata', source);
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(entries)) {
    if (typeof value === 'object' && value !== null)
      throw new MeshError('CONFIG', `${source}: proxyMetadata.${name} is no text`);
    found[name.startsWith(META_PREFIX) ? name.slice(META_PREFIX.length) : name] = String(value);
  }
  return found;
}

const wholeNumber = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;

const portNumber = (value: unknown): number | undefined => {
  const number = wholeNumber(value);
  return number !== undefined && number > 0 && number < 65_536 ? number : undefined;
};

function mappingAt(parent: Readonly<Record<string, unknown>>, field: string, source: string): Record<string, unknown> {
  const value = parent[field];
  if (value === undefined || value === null) return {};
  if (!isMapping(value)) throw new MeshError('CONFIG', `${source}: ${field} is no mapping of fields`);
  return value;
}

function mappingOf(text: string | undefined, source: string): Record<string, unknown> {
  if (text === undefined) return {};
  const value = parseYaml(text, source);
  if (value === undefined || value === null) return {};
  if (!isMapping(value)) throw new MeshError('CONFIG', `${source} is no YAML mapping of fields`);
  return value;
}

export const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `!Exact x` becomes `{ Exact: 'x' }`: how static policies write their matchers. */
const scalarMatcher = (name: string): ScalarTag => ({ tag: `!${name}`, resolve: (text) => ({ [name]: text }) });

const presenceMatcher: CollectionTag = {
  tag: '!Presence',
  collection: 'seq',
  nodeClass: YAMLSeq,
  identify: () => false,
  resolve: (node) => node,
};

const TAGS = [scalarMatcher('Exact'), scalarMatcher('Prefix'), scalarMatcher('Suffix'), presenceMatcher];

/** Reads one YAML document (JSON is YAML). @throws MeshError CONFIG with line and column. */
export function parseYaml(text: string, source: string): unknown {
  const document = parseDocument(text, { customTags: TAGS, uniqueKeys: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw new MeshError('CONFIG', `${source} is no valid YAML: ${problem.message}`);
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  return value;
}
