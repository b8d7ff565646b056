/** Mistakes in YAML, with the place and the words in which each is told. */
export interface Mistake {
  readonly name: string;
  readonly yaml: string;
  readonly line: number;
  readonly column: number;
  readonly field: string;
  readonly expected: RegExp;
}

const serviceEntry = (spec: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: bad, namespace: egress }
spec:
${spec}`;

const policy = (spec: string): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: bad, namespace: egress }
spec:
${spec}`;

export const MISTAKES: readonly Mistake[] = [
  {
    name: 'YAML that does not parse',
    yaml: 'apiVersion: v1\nkind: Namespace\nmetadata: { name: bad\n',
    line: 4,
    column: 1,
    field: '',
    expected: /must .*end with a \}/,
  },
  {
    name: 'an unknown kind',
    yaml: 'apiVersion: v1\nkind: Nonsense\nmetadata: { name: bad }\n',
    line: 2,
    column: 7,
    field: 'kind',
    expected: /unknown kind Nonsense; expected one of .*ServiceEntry/,
  },
  {
    name: 'an unknown field',
    yaml: serviceEntry(
      '  hosts: [a.example.org]\n  resolutoin: DNS\n  ports: [{ number: 80, name: http, protocol: HTTP }]\n',
    ),
    line: 6,
    column: 3,
    field: 'spec.resolutoin',
    expected: /unknown field.*resolution/,
  },
  {
    name: 'a number where a list is expected',
    yaml: serviceEntry('  hosts: 7\n  ports: [{ number: 80, name: http, protocol: HTTP }]\n'),
    line: 5,
    column: 10,
    field: 'spec.hosts',
    expected: /expected a list, found 7/,
  },
  {
    name: 'a word that is no resolution',
    yaml: serviceEntry(
      '  hosts: [a.example.org]\n  resolution: SOMETIMES\n  ports: [{ number: 80, name: http, protocol: HTTP }]\n',
    ),
    line: 6,
    column: 15,
    field: 'spec.resolution',
    expected: /expected one of .*DNS/,
  },
  {
    name: 'a port out of range',
    yaml: serviceEntry(
      '  hosts: [a.example.org]\n  resolution: DNS\n  ports: [{ number: 70000, name: http, protocol: HTTP }]\n',
    ),
    line: 7,
    column: 21,
    field: 'spec.ports[0].number',
    expected: /expected an integer from 1 to 65535, found 70000/,
  },
  {
    name: 'two ports of one number',
    yaml: serviceEntry(
      '  hosts: [a.example.org]\n  resolution: DNS\n  ports:\n    - { number: 80, name: one, protocol: HTTP }\n    - { number: 80, name: two, protocol: HTTP }\n',
    ),
    line: 9,
    column: 17,
    field: 'spec.ports[1].number',
    expected: /port 80 is there twice: expected each once/,
  },
  {
    name: 'a static endpoint that is no address',
    yaml: serviceEntry(
      '  hosts: [a.example.org]\n  resolution: STATIC\n  ports: [{ number: 80, name: http, protocol: HTTP }]\n  endpoints: [{ address: name.example.org }]\n',
    ),
    line: 8,
    column: 26,
    field: 'spec.endpoints[0].address',
    expected: /STATIC expects an IP address, found "name\.example\.org"/,
  },
  {
    name: 'a selector together with targetRefs',
    yaml: policy(
      '  selector: { matchLabels: { a: b } }\n  targetRefs: [{ group: "", kind: Service, name: x }]\n  rules: [{}]\n',
    ),
    line: 5,
    column: 3,
    field: 'spec.selector',
    expected: /expected either selector or targetRefs, found both/,
  },
  {
    name: 'DENY without rules',
    yaml: policy('  action: DENY\n'),
    line: 5,
    column: 11,
    field: 'spec.action',
    expected: /expected at least one rule/,
  },
  {
    name: 'a condition with a key that does not exist',
    yaml: policy('  rules:\n    - when: [{ key: request.weather, values: [rain] }]\n'),
    line: 6,
    column: 21,
    field: 'spec.rules[0].when[0].key',
    expected: /unknown key request\.weather; expected one of source\.ip/,
  },
  {
    name: 'a range of addresses that is none',
    yaml: policy('  rules:\n    - from: [{ source: { ipBlocks: [10.0.0.0/99] } }]\n'),
    line: 6,
    column: 37,
    field: 'spec.rules[0].from[0].source.ipBlocks[0]',
    expected: /expected an IP address or CIDR, found "10\.0\.0\.0\/99"/,
  },
  {
    name: 'a word that is no TLS mode',
    yaml: 'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: bad, namespace: egress }\nspec: { host: a.example.org, trafficPolicy: { tls: { mode: SIMPEL } } }\n',
    line: 4,
    column: 60,
    field: 'spec.trafficPolicy.tls.mode',
    expected: /expected one of DISABLE, SIMPLE, .*found the text "SIMPEL"/,
  },
  {
    name: 'a name that no object may have',
    yaml: 'apiVersion: v1\nkind: Namespace\nmetadata: { name: Bad_Name }\n',
    line: 3,
    column: 19,
    field: 'metadata.name',
    expected: /expected a name of lower-case letters/,
  },
];
