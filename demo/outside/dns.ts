import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const TYPE_A = 1;
const TTL_S = 5;

/** Answers A queries for `records` authoritatively on port 53 of an address, UDP and TCP; every other name does not exist. */
export function serveDns(address: string, records: ReadonlyMap<string, string>): void {
  const udp = createSocket('udp4');
  udp.on('message', (query, client) => {
    const reply = answer(query, records);
    if (reply !== undefined) udp.send(reply, client.port, client.address);
  });
  // its own address, not the wildcard: a reply must come from where the query went
  udp.bind(53, address);
  createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (data: Buffer) => {
      const reply = answer(data.subarray(2), records);
      if (reply === undefined) return socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      return socket.end(Buffer.concat([length, reply]));
    });
  }).listen(53, address);
}

/** RFC 1035 §4: one question in, its answer out; undefined for what is no query. */
function answer(query: Buffer, records: ReadonlyMap<string, string>): Buffer | undefined {
  if (query.length < 17 || (query.readUInt16BE(2) & 0x8000) !== 0) return undefined;
  const labels: string[] = [];
  let offset = 12;
  while (offset < query.length && query[offset] !== 0) {
    const length = query[offset] ?? 0;
    labels.push(query.toString('ascii', offset + 1, offset + 1 + length));
    offset += length + 1;
  }
  const question = query.subarray(12, offset + 5);
  if (question.length < 5 || offset + 5 > query.length) return undefined;
  const address = records.get(labels.join('.').toLowerCase());
  const answers = address !== undefined && query.readUInt16BE(offset + 1) === TYPE_A ? [record(address)] : [];
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8580 | (address === undefined ? 3 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  return Buffer.concat([header, question, ...answers]);
}

/** An A record that points back to the question's name. */
function record(address: string): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16BE(0xc00c, 0);
  bytes.writeUInt16BE(TYPE_A, 2);
  bytes.writeUInt16BE(1, 4);
  bytes.writeUInt32BE(TTL_S, 6);
  bytes.writeUInt16BE(4, 10);
  Buffer.from(address.split('.').map(Number)).copy(bytes, 12);
  return bytes;
}
