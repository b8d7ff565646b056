import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { message } from './load.ts';
import { type Json, type WireStruct, fromStruct, toStruct } from './struct.ts';

const STRUCT = message<WireStruct>('google.protobuf.Struct');

test('the definitions load in a moment', () => {
  const started = performance.now();
  message<object>('envoy.service.discovery.v3.DeltaDiscoveryRequest').encode({});
  // 15 ms on an idle machine; the bound is for a busy one.
  assert.ok(performance.now() - started < 500);
});

test('ZT-XDS-07 JSON of every kind comes back from a Struct', () => {
  const json: Record<string, Json> = {
    a: null,
    b: true,
    c: 1.5,
    d: 'x',
    e: [1, [null], {}],
    f: { g: { h: [] } },
    i: '',
  };
  assert.equal(fromStruct(STRUCT.decode(STRUCT.encode(toStruct(json)))), json);
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string().filter((key) => key !== '__proto__'),
        fc.jsonValue({ maxDepth: 3 }),
      ),
      (one) => {
        const encoded = STRUCT.encode(toStruct(JSON.parse(JSON.stringify(one))));
        assert.equal(fromStruct(STRUCT.decode(encoded)), JSON.parse(JSON.stringify(one)));
      },
    ),
    { numRuns: 100 },
  );
});

test('bytes that are no such message are refused with its name', () => {
  assert.throws(() => STRUCT.decode(Uint8Array.of(0x0a, 0x05)), /2 bytes are not a valid google.protobuf.Struct/);
});

test('fields that peers added are skipped', () => {
  const later = message<{ readonly uid: string }>('istio.workload.zds.AddWorkload');
  assert.is(later.decode(Uint8Array.of(0x0a, 0x01, 0x75, 0xfa, 0x01, 0x01, 0x00)).uid, 'u');
});

test.run();
