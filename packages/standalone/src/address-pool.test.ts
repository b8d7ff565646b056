import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseIp } from '@ambit/common/address/ip';
import { AddressPool, POD_RANGE, addressPair, numberIn } from './address-pool.ts';

test('both families carry the same number', () => {
  assert.equal(addressPair(POD_RANGE, 2), { v4: '10.244.0.2', v6: 'fd00:10:244::2' });
  assert.equal(addressPair(POD_RANGE, 0x1234), { v4: '10.244.18.52', v6: 'fd00:10:244::1234' });
  assert.equal(addressPair({ ...POD_RANGE, v6Base: undefined }, 2).v6, undefined);
});

test('addresses are given in turn, and a freed one comes back last', () => {
  const pool = new AddressPool(POD_RANGE);
  const first = pool.take();
  assert.is(first.v4, '10.244.0.2');
  pool.free(first);
  assert.is(pool.take().v4, '10.244.0.3');
});

test('a reserved address is not given out, nor reserved twice', () => {
  const pool = new AddressPool(POD_RANGE);
  const ip = parseIp('10.244.0.2');
  const outside = parseIp('10.245.0.2');
  assert.ok(ip !== undefined && outside !== undefined);
  assert.ok(pool.reserve(ip));
  assert.not(pool.reserve(ip));
  assert.not(pool.reserve(outside));
  assert.is(pool.take().v4, '10.244.0.3');
  assert.is(numberIn(POD_RANGE, outside), undefined);
});

test('a full range is a named error', () => {
  const pool = new AddressPool(POD_RANGE);
  const seen = new Set<string>();
  assert.throws(
    () => {
      for (;;) seen.add(pool.take().v4);
    },
    (error: Error) => /all addresses of 10\.244\.0\.0\/16 are in use/.test(error.message),
  );
  assert.is(seen.size, 65_533);
});

test.run();
