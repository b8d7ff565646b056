import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createWorld, OUTSIDE_DNS } from './outside/world.ts';

/** Where the story plays: a pretended internet, or the real one. */
export interface Scenery {
  /** Second host, on HTTP and HTTPS. */
  readonly api: string;
  /** A host whose certificate is of another name. */
  readonly mistaken: string;
  /** Pattern of httpbin.org's address. */
  readonly httpbinAddress: string;
  /** YAML of Secrets with the CA and a client certificate; undefined where the system's roots do. */
  readonly secrets: string | undefined;
  /** Name of the Secret with the CA. */
  readonly authority: string | undefined;
  /** What curl needs to trust the outside, followed by a blank. */
  readonly trust: string;
  /** What `ambit up` is given besides the example. */
  readonly upArguments: string;
  /** Writes a file of the story and gives its path. */
  write(name: string, text: string): string;
  /** A step's file with the names of this scenery. */
  adapt(file: string): string;
}

const PLACEHOLDER_API = 'api.example.org';

/** The pretended internet: one network namespace with a DNS server and HTTPS servers of a demo CA. */
export function pretendedInternet(folder: string): Scenery {
  const world = createWorld(folder, join(import.meta.dirname, 'outside/main.ts'));
  return {
    api: PLACEHOLDER_API,
    mistaken: 'mistaken.example.org',
    httpbinAddress: '203\\.0\\.113\\.10',
    secrets: world.secrets,
    authority: 'outside-ca',
    trust: `--cacert ${join(folder, 'root.pem')} `,
    upArguments: `${join(folder, 'outside.yaml')} --dns ${OUTSIDE_DNS}`,
    write: writer(folder),
    adapt: (file) => file,
  };
}

/** The real internet, with the system's roots; needs root. */
export function realInternet(folder: string): Scenery {
  const write = writer(folder);
  const api = 'www.example.com';
  return {
    api,
    mistaken: 'wrong.host.badssl.com',
    httpbinAddress: '\\d+\\.\\d+\\.\\d+\\.\\d+',
    secrets: undefined,
    authority: undefined,
    trust: '',
    upArguments: '--internet',
    write,
    adapt: (file) => write(basename(file), readFileSync(file, 'utf8').replaceAll(PLACEHOLDER_API, api)),
  };
}

function writer(folder: string): Scenery['write'] {
  return (name, text) => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
}
