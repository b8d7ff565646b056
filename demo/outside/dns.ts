import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { parseIp } from '@ambit/common/address/ip';
import { addressRecord, encodeMessage, parseMessage, RCODE, RECORD, reply } from '@ambit/common/dns/message';

const TTL_S = 5;

/** Answers A queries for `records` authoritatively on port 53 of an address, UDP and TCP; every other name does not exist. */
export function serveDns(address: string, records: ReadonlyMap<string, string>): void {
  const udp = createSocket('udp4');
  udp.on('message', (query, client) => {
    const answer = answerTo(query, records);
    if (answer !== undefined) udp.send(answer, client.port, client.address);
  });
  // its own address, not the wildcard: a reply must come from where the query went
  udp.bind(53, address);
  createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (data: Buffer) => {
      const answer = answerTo(data.subarray(2), records);
      if (answer === undefined) return socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      return socket.end(Buffer.concat([length, answer]));
    });
  }).listen(53, address);
}

/** Undefined for what is no query. */
function answerTo(query: Uint8Array, records: ReadonlyMap<string, string>): Uint8Array | undefined {
  const message = parseMessage(query);
  const question = message?.questions[0];
  if (message === undefined || message.response || question === undefined) return undefined;
  const ip = parseIp(records.get(question.name.toLowerCase().replace(/\.$/, '')) ?? '');
  const answers = ip !== undefined && question.type === RECORD.A ? [addressRecord(question.name, TTL_S, ip)] : [];
  const rcode = ip === undefined ? RCODE.NXDOMAIN : RCODE.NOERROR;
  return encodeMessage(reply(message, { authoritative: true, recursionAvailable: true, rcode, answers }));
}
