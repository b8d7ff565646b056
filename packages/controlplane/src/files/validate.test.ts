import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatSourceError, validateText } from './validate.ts';

/** What was expected: `line:column: field: start of the message`. */
type Row = readonly [rule: string, yaml: string, expected: string];

const head = (kind: string, apiVersion: string): string =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n`;
const SE = `${head('ServiceEntry', 'networking.istio.io/v1')}spec:\n`;
const WE = `${head('WorkloadEntry', 'networking.istio.io/v1')}spec:\n`;
const DR = `${head('DestinationRule', 'networking.istio.io/v1')}spec:\n  host: a.example\n`;
const AP = `${head('AuthorizationPolicy', 'security.istio.io/v1')}spec:\n`;
const PA = `${head('PeerAuthentication', 'security.istio.io/v1')}spec:\n`;
const GW = `${head('Gateway', 'gateway.networking.k8s.io/v1')}spec:\n`;
const SVC = `${head('Service', 'v1')}spec:\n`;
const DEPLOY = `${head('Deployment', 'apps/v1')}spec:\n`;
const HTTP = '  ports: [{number: 80, name: http, protocol: HTTP}]\n';

function outcome(yaml: string): { errors: string[]; warnings: string[] } {
  const { errors, warnings } = validateText(yaml, 'f.yaml');
  const short = (list: typeof errors): string[] => list.map((one) => formatSourceError(one).slice('f.yaml:'.length));
  return { errors: short(errors), warnings: short(warnings) };
}

function refuses(title: string, rows: readonly Row[]): void {
  for (const [rule, yaml, expected] of rows)
    test(`${title} refuses: ${rule}`, () => {
      const { errors } = outcome(yaml);
      assert.is(errors.length, 1, errors.join('\n'));
      assert.is(errors[0]?.slice(0, expected.length), expected);
    });
}

function warns(title: string, rows: readonly Row[]): void {
  for (const [rule, yaml, expected] of rows)
    test(`${title} warns: ${rule}`, () => {
      const { errors, warnings } = outcome(yaml);
      assert.equal(errors, []);
      assert.is(warnings.length, 1, warnings.join('\n'));
      assert.is(warnings[0]?.slice(0, expected.length), expected);
    });
}

refuses('a document', [
  ['YAML that does not parse', 'kind: [', '1:8: Flow sequence'],
  ['a key that is there twice', 'kind: A\nkind: B\n', '2:1: Map keys must be unique'],
  ['something that is no object', '- a\n', '1:1: expected an object with apiVersion and kind, found a list'],
  ['no apiVersion', 'kind: Service\n', '1:1: apiVersion: expected an apiVersion'],
  [
    'an unknown kind',
    'apiVersion: v1\nkind: Sandwich\n',
    '2:7: kind: unknown kind Sandwich; expected one of Namespace',
  ],
  ['another version', 'apiVersion: v2\nkind: Service\n', '1:13: apiVersion: a Service expects apiVersion v1, found v2'],
  ['no metadata', 'apiVersion: v1\nkind: ServiceAccount\n', '1:1: metadata is missing'],
  ['no name', 'apiVersion: v1\nkind: ServiceAccount\nmetadata: {}\n', '3:11: metadata: name is missing'],
  [
    'a bad name',
    'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: A_b}\n',
    '3:18: metadata.name: expected a name',
  ],
  [
    'a bad label',
    'apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {x: a b}}\n',
    '3:33: metadata.labels.x: expected a label value',
  ],
  [
    'a bad label key',
    'apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {"x y": a}}\n',
    '3:30: metadata.labels["x y"]: "x y" is no label key',
  ],
  ['no spec', head('Service', 'v1'), '1:1: spec is missing'],
  ['an unknown field', `${SVC}  prots: []\n`, '5:3: spec.prots: unknown field prots; did you mean ports?'],
  ['an unknown field at the top', `${head('Namespace', 'v1')}sepc: {}\n`, '4:1: sepc: unknown field sepc'],
  ['a wrong type', `${SVC}  ports: {}\n`, '5:10: spec.ports: expected a list, found an object'],
  [
    'a wrong number',
    `${SVC}  ports:\n  - port: 70000\n`,
    '6:11: spec.ports[0].port: expected an integer from 1 to 65535, found 70000',
  ],
  [
    'a wrong word',
    `${SVC}  type: Cluster\n`,
    '5:9: spec.type: expected one of ClusterIP, NodePort, LoadBalancer, ExternalName, found the text "Cluster"',
  ],
  [
    'items of a list, too',
    `kind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Nothing\n`,
    '5:9: kind: unknown kind Nothing',
  ],
]);

refuses('a core object', [
  ['ports without names', `${SVC}  ports: [{port: 1, name: a}, {port: 2}]\n`, '5:31: spec.ports[1]: name is missing'],
  [
    'a port twice',
    `${SVC}  ports: [{port: 1, name: a}, {port: 1, name: b}]\n`,
    '5:38: spec.ports[1].port: port TCP 1 is there twice',
  ],
  ['ExternalName without a name', `${SVC}  type: ExternalName\n`, '5:3: spec: externalName is missing'],
  ['a Secret that is not base64', `${head('Secret', 'v1')}data: {a: "?"}\n`, '4:11: data.a: expected base64 text'],
  ['a bad ConfigMap key', `${head('ConfigMap', 'v1')}data: {"a/b": c}\n`, '4:8: data["a/b"]: expected a key'],
  [
    'a Deployment without containers',
    `${DEPLOY}  selector: {}\n  template: {spec: {containers: []}}\n`,
    '6:33: spec.template.spec.containers: expected 1 to 64 entries, found 0',
  ],
  [
    'a selector that misses its own pods',
    `${DEPLOY}  selector: {matchLabels: {app: a}}\n  template: {spec: {containers: [{name: a}]}}\n`,
    '5:33: spec.selector.matchLabels.app: the selector must match',
  ],
  [
    'an unknown pod field',
    `${DEPLOY}  selector: {}\n  template: {spec: {containers: [{name: a, commnad: []}]}}\n`,
    '6:44: spec.template.spec.containers[0].commnad: unknown field commnad; did you mean command?',
  ],
]);

warns('a core object', [
  [
    'fields without effect here',
    `${DEPLOY}  selector: {}\n  template: {spec: {containers: [{name: a, resources: {}}]}}\n`,
    '6:44: spec.template.spec.containers[0].resources: resources is accepted but has no effect here',
  ],
]);

refuses('a ServiceEntry', [
  ['no hosts', `${SE}  hosts: []\n`, '5:10: spec.hosts: expected 1 to 256 entries, found 0'],
  ['hosts missing', `${SE}  resolution: DNS\n`, '5:3: spec: hosts is missing'],
  ['the host *', `${SE}  hosts: ["*"]\n`, '5:11: spec.hosts[0]: expected a host name: * alone'],
  ['a host that is no name', `${SE}  hosts: ["a b"]\n`, '5:11: spec.hosts[0]: expected a host name, found "a b"'],
  [
    'selector and endpoints',
    `${SE}  hosts: [a.b]\n  resolution: STATIC\n  workloadSelector: {labels: {a: b}}\n  endpoints: [{address: 10.0.0.1}]\n`,
    '7:3: spec.workloadSelector: expected either workloadSelector or endpoints, found both',
  ],
  [
    'endpoints with NONE',
    `${SE}  hosts: [a.b]\n  endpoints: [{address: 10.0.0.1}]\n`,
    '6:3: spec.endpoints: resolution NONE keeps the original destination',
  ],
  [
    'a CIDR with DNS',
    `${SE}  hosts: [a.b]\n  resolution: DNS\n  addresses: [10.0.0.0/8]\n`,
    '7:15: spec.addresses[0]: a CIDR is allowed with resolution NONE or STATIC',
  ],
  [
    'an address that is none',
    `${SE}  hosts: [a.b]\n  addresses: [nowhere]\n`,
    '6:15: spec.addresses[0]: expected an IP address or CIDR',
  ],
  [
    'a port number twice',
    `${SE}  hosts: [a.b]\n  ports: [{number: 80, name: a, protocol: HTTP}, {number: 80, name: b, protocol: HTTP}]\n`,
    '6:59: spec.ports[1].number: port 80 is there twice',
  ],
  [
    'a port name twice',
    `${SE}  hosts: [a.b]\n  ports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: a, protocol: HTTP}]\n`,
    '6:69: spec.ports[1].name: port name a is there twice',
  ],
  [
    'an unknown protocol',
    `${SE}  hosts: [a.b]\n  ports: [{number: 80, name: a, protocol: QUIC}]\n`,
    '6:43: spec.ports[0].protocol: expected HTTP, HTTPS',
  ],
  [
    'several endpoints with DNS_ROUND_ROBIN',
    `${SE}  hosts: [a.b]\n  resolution: DNS_ROUND_ROBIN\n  endpoints: [{address: c.d}, {address: e.f}]\n`,
    '7:3: spec.endpoints: DNS_ROUND_ROBIN takes one endpoint, found 2',
  ],
  [
    'a wildcard with DNS and no endpoints',
    `${SE}  hosts: ["*.a.b"]\n  resolution: DNS\n`,
    '5:11: spec.hosts[0]: resolution DNS without endpoints looks the host up',
  ],
  [
    'DYNAMIC_DNS without wildcard',
    `${SE}  hosts: [a.b]\n  resolution: DYNAMIC_DNS\n${HTTP}`,
    '5:11: spec.hosts[0]: DYNAMIC_DNS expects a wildcard host',
  ],
  [
    'DYNAMIC_DNS with addresses',
    `${SE}  hosts: ["*.a.b"]\n  resolution: DYNAMIC_DNS\n  addresses: [10.0.0.1]\n${HTTP}`,
    '7:3: spec.addresses: DYNAMIC_DNS expects no addresses',
  ],
  [
    'DYNAMIC_DNS with endpoints',
    `${SE}  hosts: ["*.a.b"]\n  resolution: DYNAMIC_DNS\n  endpoints: [{address: 10.0.0.1}]\n${HTTP}`,
    '7:3: spec.endpoints: DYNAMIC_DNS expects no endpoints',
  ],
  [
    'DYNAMIC_DNS with TCP',
    `${SE}  hosts: ["*.a.b"]\n  resolution: DYNAMIC_DNS\n  ports: [{number: 1, name: t, protocol: TCP}]\n`,
    '7:42: spec.ports[0].protocol: DYNAMIC_DNS expects HTTP, TLS, GRPC or HTTP2',
  ],
  [
    'DYNAMIC_DNS in the mesh with a waypoint',
    `${SE.replace('name: x', 'name: x, labels: {istio.io/use-waypoint: w}')}  hosts: ["*.a.b"]\n  resolution: DYNAMIC_DNS\n  location: MESH_INTERNAL\n${HTTP}`,
    '7:13: spec.location: DYNAMIC_DNS through a waypoint expects location: MESH_EXTERNAL',
  ],
  [
    'several hosts on a TCP port',
    `${SE}  hosts: [a.b, c.d]\n  resolution: DNS\n  ports: [{number: 1, name: t, protocol: TCP}]\n`,
    '7:11: spec.ports[0]: several hosts share port 1',
  ],
  [
    'an endpoint port that is not declared',
    `${SE}  hosts: [a.b]\n  resolution: STATIC\n${HTTP}  endpoints: [{address: 10.0.0.1, ports: {web: 8080}}]\n`,
    '8:43: spec.endpoints[0].ports.web: port web is not declared: expected one of http',
  ],
  [
    'a STATIC endpoint with a name',
    `${SE}  hosts: [a.b]\n  resolution: STATIC\n  endpoints: [{address: c.d}]\n`,
    '7:25: spec.endpoints[0].address: resolution STATIC expects an IP address',
  ],
  [
    'an endpoint that is no address',
    `${SE}  hosts: [a.b]\n  resolution: DNS\n  endpoints: [{address: "c d"}]\n`,
    '7:25: spec.endpoints[0].address: expected an IP address or a host name',
  ],
]);

warns('a ServiceEntry', [
  [
    'a TCP port without any address',
    `${SE.replace('name: x', 'name: x, labels: {networking.istio.io/enable-autoallocate-ip: "false"}')}  hosts: [a.b]\n  resolution: DNS\n  ports: [{number: 1, name: t, protocol: TCP}]\n`,
    '7:11: spec.ports[0]: a TCP port without addresses',
  ],
  ['a partial wildcard', `${SE}  hosts: ["*a.b"]\n`, '5:11: spec.hosts[0]: the wildcard of *a.b is part of a label'],
  [
    'a selector without labels',
    `${SE}  hosts: [a.b]\n  resolution: STATIC\n  workloadSelector: {}\n`,
    '7:3: spec.workloadSelector: workloadSelector has no labels',
  ],
  [
    'a selector with NONE',
    `${SE}  hosts: [a.b]\n  workloadSelector: {labels: {a: b}}\n`,
    '6:3: spec.workloadSelector: workloadSelector has no effect with resolution NONE',
  ],
  [
    'exportTo',
    `${SE}  hosts: [a.b]\n  exportTo: ["."]\n`,
    '6:3: spec.exportTo: exportTo is accepted but has no effect here',
  ],
]);

refuses('a WorkloadEntry', [
  ['neither address nor network', `${WE}  labels: {a: b}\n`, '5:3: spec: address is missing'],
  ['an address that is none', `${WE}  address: "a b"\n`, '5:12: spec.address: expected an IP address or a host name'],
  [
    'a socket with ports',
    `${WE}  address: unix:///run/s\n  ports: {a: 1}\n`,
    '6:3: spec.ports: a unix:// address has no ports',
  ],
  [
    'a socket path that is relative',
    `${WE}  address: unix://run/s\n`,
    '5:12: spec.address: expected the absolute path of a socket',
  ],
]);
warns('a WorkloadEntry', [
  ['no address, but a network', `${WE}  network: n\n`, '5:3: spec: address is missing: the endpoint is reachable only'],
]);

refuses('a DestinationRule', [
  ['an empty trafficPolicy', `${DR}  trafficPolicy: {}\n`, '6:18: spec.trafficPolicy: trafficPolicy is empty'],
  ['a subset twice', `${DR}  subsets: [{name: a}, {name: a}]\n`, '6:31: spec.subsets[1].name: subset a is there twice'],
  [
    'a tunnel with proxyProtocol',
    `${DR}  trafficPolicy: {tunnel: {targetHost: a, targetPort: 1}, proxyProtocol: {version: V1}}\n`,
    '6:19: spec.trafficPolicy.tunnel: expected either tunnel or proxyProtocol',
  ],
  [
    'a cookie without name',
    `${DR}  trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {ttl: 1s}}}}\n`,
    '6:63: spec.trafficPolicy.loadBalancer.consistentHash.httpCookie: name is missing',
  ],
  [
    'a maglev table that is not prime',
    `${DR}  trafficPolicy: {loadBalancer: {consistentHash: {maglev: {tableSize: 100}}}}\n`,
    '6:71: spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: expected a prime number',
  ],
  [
    'a maglev table that is too large',
    `${DR}  trafficPolicy: {loadBalancer: {consistentHash: {maglev: {tableSize: 5000077}}}}\n`,
    '6:71: spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: expected a prime number up to 5000011',
  ],
  [
    'both locality settings',
    `${DR}  trafficPolicy: {loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}}\n`,
    '6:57: spec.trafficPolicy.loadBalancer.zoneAwareLbSetting: expected either',
  ],
  [
    'useClientProtocol with UPGRADE',
    `${DR}  trafficPolicy: {connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}\n`,
    '6:43: spec.trafficPolicy.connectionPool.http.useClientProtocol: expected either',
  ],
  [
    'a selector with a wide exportTo',
    `${DR}  workloadSelector: {matchLabels: {a: b}}\n  exportTo: ["*"]\n`,
    '7:13: spec.exportTo: a rule with workloadSelector',
  ],
  [
    'MUTUAL without keys',
    `${DR}  trafficPolicy: {tls: {mode: MUTUAL}}\n`,
    '6:24: spec.trafficPolicy.tls: mode MUTUAL expects credentialName',
  ],
  [
    'MUTUAL without private key',
    `${DR}  trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /c}}\n`,
    '6:24: spec.trafficPolicy.tls: privateKey is missing',
  ],
  [
    'a Secret and files',
    `${DR}  trafficPolicy: {tls: {mode: SIMPLE, credentialName: a, caCertificates: /c}}\n`,
    '6:39: spec.trafficPolicy.tls.credentialName: expected either',
  ],
  [
    'a bad duration',
    `${DR}  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 5}}}\n`,
    '6:58: spec.trafficPolicy.connectionPool.tcp.connectTimeout: expected a duration such as 10s',
  ],
  [
    'a port setting without port',
    `${DR}  trafficPolicy: {portLevelSettings: [{tls: {mode: SIMPLE}}]}\n`,
    '6:39: spec.trafficPolicy.portLevelSettings[0]: port is missing',
  ],
]);
warns('a DestinationRule', [
  ['subsets', `${DR}  subsets: [{name: a}]\n`, '6:3: spec.subsets: subsets is accepted but has no effect here'],
  [
    'outlier detection',
    `${DR}  trafficPolicy: {outlierDetection: {}}\n`,
    '6:19: spec.trafficPolicy.outlierDetection: outlierDetection is accepted but has no effect here',
  ],
]);

const ref = (fields: string): string => `${AP}  targetRefs: [{${fields}}]\n`;
const source = (fields: string): string => `${AP}  rules: [{from: [{source: {${fields}}}]}]\n`;
const operation = (fields: string): string => `${AP}  rules: [{to: [{operation: {${fields}}}]}]\n`;
const when = (fields: string): string => `${AP}  rules: [{when: [{${fields}}]}]\n`;

refuses('an AuthorizationPolicy', [
  [
    'selector with targetRefs',
    `${ref('kind: Service, name: a')}  selector: {matchLabels: {a: b}}\n`,
    '6:3: spec.selector: expected either selector or targetRefs',
  ],
  [
    'targetRef with targetRefs',
    `${ref('kind: Service, name: a')}  targetRef: {kind: Service, name: a}\n`,
    '6:3: spec.targetRef: expected either targetRef or targetRefs',
  ],
  [
    'a target in another namespace',
    ref('kind: Service, name: a, namespace: b'),
    '5:52: spec.targetRefs[0].namespace: a policy targets objects of its own namespace',
  ],
  ['a kind that is no target', ref('kind: Pod, name: a'), '5:23: spec.targetRefs[0].kind: expected one of Gateway'],
  [
    'a group that does not fit',
    ref('kind: ServiceEntry, name: a'),
    '5:16: spec.targetRefs[0].group: a ServiceEntry is of group "networking.istio.io"',
  ],
  ['a target without name', ref('kind: Service'), '5:16: spec.targetRefs[0]: name is missing'],
  [
    'a provider without CUSTOM',
    `${AP}  provider: {name: p}\n`,
    '5:3: spec.provider: provider belongs to action CUSTOM',
  ],
  ['CUSTOM without provider', `${AP}  action: CUSTOM\n  rules: [{}]\n`, '5:11: spec.action: provider.name is missing'],
  [
    'CUSTOM without rules',
    `${AP}  action: CUSTOM\n  provider: {name: p}\n`,
    '5:11: spec.action: a CUSTOM policy without rules never matches',
  ],
  ['DENY without rules', `${AP}  action: DENY\n`, '5:11: spec.action: a DENY policy without rules never matches'],
  [
    'CUSTOM with identities',
    `${source('principals: [a]')}  action: CUSTOM\n  provider: {name: p}\n`,
    '5:29: spec.rules[0].from[0].source.principals: action CUSTOM cannot look at principals',
  ],
  [
    'CUSTOM with identity keys',
    `${when('key: source.principal, values: [a]')}  action: CUSTOM\n  provider: {name: p}\n`,
    '5:25: spec.rules[0].when[0].key: action CUSTOM cannot look at source.principal',
  ],
  ['an empty from', `${AP}  rules: [{from: []}]\n`, '5:12: spec.rules[0].from: from is empty'],
  ['an empty to', `${AP}  rules: [{to: []}]\n`, '5:12: spec.rules[0].to: to is empty'],
  ['an empty source', source(''), '5:19: spec.rules[0].from[0]: source is empty'],
  ['an empty operation', operation(''), '5:17: spec.rules[0].to[0]: operation is empty'],
  ['an empty list', source('principals: []'), '5:29: spec.rules[0].from[0].source.principals: principals is empty'],
  ['an empty value', source('principals: [""]'), '5:42: spec.rules[0].from[0].source.principals[0]: expected a value'],
  [
    'serviceAccounts with namespaces',
    source('serviceAccounts: [a], namespaces: [b]'),
    '5:28: spec.rules[0].from[0].source: serviceAccounts stand alone',
  ],
  [
    'serviceAccounts with principals',
    source('serviceAccounts: [a], principals: [b]'),
    '5:28: spec.rules[0].from[0].source: serviceAccounts stand alone',
  ],
  [
    'a wildcard service account',
    source('serviceAccounts: ["a/*"]'),
    '5:47: spec.rules[0].from[0].source.serviceAccounts[0]: expected <service account>',
  ],
  [
    'a bad CIDR',
    source('ipBlocks: [10.0.0.0/40]'),
    '5:40: spec.rules[0].from[0].source.ipBlocks[0]: expected an IP address or CIDR',
  ],
  [
    'a bad remote CIDR',
    source('notRemoteIpBlocks: [a]'),
    '5:49: spec.rules[0].from[0].source.notRemoteIpBlocks[0]: expected an IP address or CIDR',
  ],
  ['a bad port', operation('ports: [http]'), '5:38: spec.rules[0].to[0].operation.ports[0]: expected a port'],
  [
    'a port that is a number',
    operation('ports: [80]'),
    '5:38: spec.rules[0].to[0].operation.ports[0]: expected text, found 80',
  ],
  [
    'a bad path template',
    operation('paths: ["/a/{**}/b/{*}"]'),
    '5:38: spec.rules[0].to[0].operation.paths[0]: {**} must be the last operator',
  ],
  [
    'a brace that is no operator',
    operation('paths: ["/a/{id}"]'),
    '5:38: spec.rules[0].to[0].operation.paths[0]: braces are for {*} and {**}',
  ],
  [
    'an operator within a segment',
    operation('paths: ["/a/x{*}"]'),
    '5:38: spec.rules[0].to[0].operation.paths[0]: {*} and {**} stand for whole segments',
  ],
  ['when without key', when('values: [a]'), '5:19: spec.rules[0].when[0]: key is missing'],
  ['when without values', when('key: source.ip'), '5:19: spec.rules[0].when[0]: values are missing'],
  [
    'an unknown when key',
    when('key: request.body, values: [a]'),
    '5:25: spec.rules[0].when[0].key: unknown key request.body',
  ],
  [
    'a bad when address',
    when('key: source.ip, values: [a]'),
    '5:45: spec.rules[0].when[0].values[0]: expected an IP address or CIDR',
  ],
  [
    'a bad when port',
    when('key: destination.port, notValues: [a]'),
    '5:55: spec.rules[0].when[0].notValues[0]: expected a port',
  ],
  [
    'a dry run of AUDIT',
    `${AP.replace('name: x', 'name: x, annotations: {istio.io/dry-run: "true"}')}  action: AUDIT\n`,
    '3:53: metadata.annotations["istio.io/dry-run"]: dry run is for ALLOW and DENY',
  ],
  [
    'a wildcard in a selector',
    `${AP}  selector: {matchLabels: {a: "b*"}}\n`,
    '5:31: spec.selector.matchLabels.a: wildcards are not allowed in selector values',
  ],
  [
    'a wildcard in a selector key',
    `${AP}  selector: {matchLabels: {"a*": b}}\n`,
    '5:28: spec.selector.matchLabels["a*"]: wildcards are not allowed in selector keys',
  ],
  [
    'an empty selector key',
    `${AP}  selector: {matchLabels: {"": b}}\n`,
    '5:28: spec.selector.matchLabels[""]: expected a label name',
  ],
]);

warns('an AuthorizationPolicy', [
  [
    'a DENY of HTTP only',
    `${operation('paths: ["/a"]')}  action: DENY\n`,
    '5:11: spec.rules[0]: this DENY rule has HTTP fields only',
  ],
  ['a selector without labels', `${AP}  selector: {}\n`, '5:3: spec.selector: selector has no labels'],
]);

refuses('a PeerAuthentication', [
  [
    'ports without selector',
    `${PA}  portLevelMtls: {"80": {mode: STRICT}}\n`,
    '5:3: spec.portLevelMtls: portLevelMtls expects a selector',
  ],
  [
    'no ports',
    `${PA}  selector: {matchLabels: {a: b}}\n  portLevelMtls: {}\n`,
    '6:3: spec.portLevelMtls: portLevelMtls is empty',
  ],
  [
    'a port that is none',
    `${PA}  selector: {matchLabels: {a: b}}\n  portLevelMtls: {"70000": {mode: STRICT}}\n`,
    '6:19: spec.portLevelMtls.70000: expected a port from 1 to 65535',
  ],
  [
    'an unknown mode',
    `${PA}  mtls: {mode: LOOSE}\n`,
    '5:16: spec.mtls.mode: expected one of UNSET, DISABLE, PERMISSIVE, STRICT',
  ],
]);

refuses('a Gateway', [
  [
    'no listeners',
    `${GW}  gatewayClassName: istio-waypoint\n  listeners: []\n`,
    '6:14: spec.listeners: expected 1 to 64 entries',
  ],
  [
    'a listener twice',
    `${GW}  gatewayClassName: c\n  listeners: [{name: a, port: 1, protocol: HBONE}, {name: a, port: 2, protocol: HBONE}]\n`,
    '6:59: spec.listeners[1].name: listener a is there twice',
  ],
  [
    'from: Selector without selector',
    `${GW}  gatewayClassName: c\n  listeners: [{name: a, port: 1, protocol: HBONE, allowedRoutes: {namespaces: {from: Selector}}}]\n`,
    '6:79: spec.listeners[0].allowedRoutes.namespaces: selector is missing',
  ],
]);

test('every mistake of a file is found in one go, and a file with mistakes gives no half', () => {
  const { errors } = outcome(`${SVC}  prots: []\n  type: 1\n---\n${SE}  hosts: []\n`);
  assert.is(errors.length, 3);
});

test('integers may not be text, and text that looks like a number is text', () => {
  assert.match(
    outcome(`${SVC}  ports: [{port: "80"}]\n`).errors[0] ?? '',
    '5:18: spec.ports[0].port: expected an integer from 1 to 65535, found the text "80"',
  );
});

test('aliases are followed and located, and a bomb of them is refused', () => {
  const alias = outcome(`${SVC}  ports: &p [{port: 80}]\n  selector: *p\n`);
  assert.match(alias.errors[0] ?? '', '6:13: spec.selector: expected an object, found a list');
  const rows = Array.from(
    { length: 9 },
    (_, i) => `b${i + 1}: &b${i + 1} [${Array.from({ length: 9 }, () => `*b${i}`).join(', ')}]`,
  );
  assert.match(outcome(`b0: &b0 [x]\n${rows.join('\n')}\n`).errors[0] ?? '', 'Excessive alias count');
});

test('objects and namespaces have their defaults', () => {
  const { objects } = validateText(`${SE}  hosts: [a.b]\nstatus: {addresses: []}\n`, 'f.yaml');
  assert.equal(objects[0]?.object.metadata, { name: 'x', namespace: 'default' });
  assert.is(objects[0]?.object.status, undefined, 'a status is written by servers only');
});

test.run();
