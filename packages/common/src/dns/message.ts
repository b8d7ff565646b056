import { type IpAddress, ipFromBytes, ipToBytes } from '../address/ip.ts';
import { nameBytes, nameLabels, readName } from './name.ts';

/** Record types that this project acts on (RFC 1035, 3596, 2782, 6891); any other number passes through unread. */
export const RECORD = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, OPT: 41 } as const;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
const CLASS_IN = 1;
const HEADER_BYTES = 12;
const MAX_MESSAGE_BYTES = 65_535;

export interface DnsQuestion {
  /** Without trailing dot; in the case the asker wrote, which the answer must repeat. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** One resource record; `data` is its wire form with every name written out (never a compression pointer). */
export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly data: Uint8Array;
}

/** What the OPT record says (RFC 6891); its options are not kept. */
export interface Edns {
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  /** Without the OPT record, which is `edns`. */
  readonly additionals: readonly DnsRecord[];
  readonly edns: Edns | undefined;
}

/** A recursive query for one name. */
export function query(id: number, name: string, type: number): DnsMessage {
  return {
    id,
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    rcode: RCODE.NOERROR,
    questions: [{ name, type, class: CLASS_IN }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: undefined,
  };
}

/** The empty answer to a query: id, opcode, question and recursion wish repeated; `changes` fill in the rest. */
export function reply(to: DnsMessage, changes: Partial<DnsMessage>): DnsMessage {
  const edns = to.edns === undefined ? undefined : { ...to.edns, udpSize: Math.max(512, to.edns.udpSize) };
  return { ...to, response: true, truncated: false, answers: [], authorities: [], additionals: [], edns, ...changes };
}

/** An A or AAAA record, by the family of the address. */
export function addressRecord(name: string, ttl: number, ip: IpAddress): DnsRecord {
  const data = ipToBytes(ip);
  return { name, type: data.length === 4 ? RECORD.A : RECORD.AAAA, class: CLASS_IN, ttl, data };
}

/** A record whose data is one name (CNAME, PTR, NS). Throws RangeError when the target is no valid name. */
export function nameRecord(name: string, type: number, ttl: number, target: string): DnsRecord {
  const data = nameBytes(target);
  if (data === undefined) throw new RangeError(`"${target}" is not a DNS name`);
  return { name, type, class: CLASS_IN, ttl, data };
}

/** The address of an A or AAAA record; undefined for any other record. */
export function recordAddress(record: DnsRecord): IpAddress | undefined {
  const wanted = record.type === RECORD.A ? 4 : record.type === RECORD.AAAA ? 16 : -1;
  return record.data.length === wanted ? ipFromBytes(record.data) : undefined;
}

/** The target of a CNAME, PTR or NS record; undefined for any other record. */
export function recordTarget(record: DnsRecord): string | undefined {
  if (record.type !== RECORD.CNAME && record.type !== RECORD.PTR && record.type !== RECORD.NS) return undefined;
  return readName(record.data, 0)?.name;
}

/** Reads a message; undefined when it is malformed in any part. Work is bounded by the size of the input. */
export function parseMessage(bytes: Uint8Array): DnsMessage | undefined {
  if (bytes.length < HEADER_BYTES || bytes.length > MAX_MESSAGE_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const questions = readQuestions(bytes, view, view.getUint16(4));
  if (questions === undefined) return undefined;
  let at = questions.next;
  const sections: DnsRecord[][] = [];
  for (const offset of [6, 8, 10]) {
    const section = readRecords(bytes, view, at, view.getUint16(offset));
    if (section === undefined) return undefined;
    at = section.next;
    sections.push(section.records);
  }
  const [answers = [], authorities = [], extra = []] = sections;
  const options = extra.filter((record) => record.type === RECORD.OPT);
  if (options.length > 1) return undefined;
  return {
    id: view.getUint16(0),
    ...readFlags(view.getUint16(2)),
    questions: questions.questions,
    answers,
    authorities,
    additionals: extra.filter((record) => record.type !== RECORD.OPT),
    edns: options[0] === undefined ? undefined : readEdns(options[0]),
  };
}

/**
 * Writes a message. With `limit`, records that do not fit are left out, those that do are kept, and the TC bit says so;
 * the OPT record always stays. Throws RangeError when a name cannot be written or the whole exceeds 65,535 bytes without a limit.
 */
export function encodeMessage(message: DnsMessage, limit: number = MAX_MESSAGE_BYTES): Uint8Array {
  const writer = new MessageWriter(message.edns === undefined ? limit : limit - 11);
  for (const question of message.questions) writer.question(question);
  const counts = [message.answers, message.authorities, message.additionals].map((records) => writer.records(records));
  if (writer.cut && limit === MAX_MESSAGE_BYTES) throw new RangeError('the DNS message exceeds 65,535 bytes');
  const opt = message.edns === undefined ? new Uint8Array(0) : optBytes(message.edns);
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint16(0, message.id);
  view.setUint16(2, flagBits(message, writer.cut || message.truncated));
  view.setUint16(4, message.questions.length);
  counts.forEach((count, index) => view.setUint16(6 + index * 2, count + (index === 2 && opt.length > 0 ? 1 : 0)));
  return Buffer.concat([header, ...writer.chunks, opt]);
}

function readFlags(
  bits: number,
): Omit<DnsMessage, 'id' | 'questions' | 'answers' | 'authorities' | 'additionals' | 'edns'> {
  return {
    response: (bits & 0x8000) !== 0,
    opcode: (bits >> 11) & 0xf,
    authoritative: (bits & 0x0400) !== 0,
    truncated: (bits & 0x0200) !== 0,
    recursionDesired: (bits & 0x0100) !== 0,
    recursionAvailable: (bits & 0x0080) !== 0,
    rcode: bits & 0xf,
  };
}

const flagBits = (message: DnsMessage, truncated: boolean): number =>
  (message.response ? 0x8000 : 0) |
  ((message.opcode & 0xf) << 11) |
  (message.authoritative ? 0x0400 : 0) |
  (truncated ? 0x0200 : 0) |
  (message.recursionDesired ? 0x0100 : 0) |
  (message.recursionAvailable ? 0x0080 : 0) |
  (message.rcode & 0xf);

function readQuestions(
  bytes: Uint8Array,
  view: DataView,
  count: number,
): { questions: DnsQuestion[]; next: number } | undefined {
  const questions: DnsQuestion[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const read = readName(bytes, at);
    if (read === undefined || read.next + 4 > bytes.length) return undefined;
    questions.push({ name: read.name, type: view.getUint16(read.next), class: view.getUint16(read.next + 2) });
    at = read.next + 4;
  }
  return { questions, next: at };
}

function readRecords(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  count: number,
): { records: DnsRecord[]; next: number } | undefined {
  const records: DnsRecord[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const read = readName(bytes, at);
    if (read === undefined || read.next + 10 > bytes.length) return undefined;
    const type = view.getUint16(read.next);
    const begin = read.next + 10;
    const end = begin + view.getUint16(read.next + 8);
    if (end > bytes.length) return undefined;
    const data = expandData(bytes, type, begin, end);
    if (data === undefined) return undefined;
    records.push({
      name: read.name,
      type,
      class: view.getUint16(read.next + 2),
      ttl: view.getUint32(read.next + 4),
      data,
    });
    at = end;
  }
  return { records, next: at };
}

/** Where names stand in the data of types that may carry compressed names (RFC 3597 §4): fixed bytes before, names, fixed bytes after. */
const NAMES_IN_DATA: Readonly<Record<number, readonly [before: number, names: number, after: number]>> = {
  [RECORD.NS]: [0, 1, 0],
  [RECORD.CNAME]: [0, 1, 0],
  [RECORD.PTR]: [0, 1, 0],
  [RECORD.SOA]: [0, 2, 20],
  [RECORD.MX]: [2, 1, 0],
  [RECORD.SRV]: [6, 1, 0],
};

function expandData(bytes: Uint8Array, type: number, begin: number, end: number): Uint8Array | undefined {
  const layout = NAMES_IN_DATA[type];
  if (layout === undefined) return bytes.slice(begin, end);
  const [before, names, after] = layout;
  const parts: Uint8Array[] = [bytes.slice(begin, begin + before)];
  let at = begin + before;
  for (let i = 0; i < names; i++) {
    const read = readName(bytes, at);
    const written = read === undefined ? undefined : nameBytes(read.name);
    if (read === undefined || written === undefined) return undefined;
    parts.push(written);
    at = read.next;
  }
  if (at + after !== end) return undefined;
  parts.push(bytes.slice(at, end));
  return Buffer.concat(parts);
}

const readEdns = (record: DnsRecord): Edns => ({
  udpSize: record.class,
  version: (record.ttl >>> 16) & 0xff,
  dnssecOk: (record.ttl & 0x8000) !== 0,
});

function optBytes(edns: Edns): Uint8Array {
  const bytes = new Uint8Array(11);
  const view = new DataView(bytes.buffer);
  view.setUint16(1, RECORD.OPT);
  view.setUint16(3, edns.udpSize);
  view.setUint32(5, ((edns.version & 0xff) << 16) | (edns.dnssecOk ? 0x8000 : 0));
  return bytes;
}

/** Appends questions and records up to a limit, compressing owner names against earlier ones (RFC 1035 §4.1.4). */
class MessageWriter {
  readonly chunks: Uint8Array[] = [];
  cut = false;
  readonly #limit: number;
  readonly #offsets = new Map<string, number>();
  #at = HEADER_BYTES;

  constructor(limit: number) {
    this.#limit = limit;
  }

  question(question: DnsQuestion): void {
    this.#push([...this.#name(question.name, this.#offsets), uint16(question.type), uint16(question.class)]);
  }

  /** @returns how many were written; stops for good at the first that does not fit. */
  records(records: readonly DnsRecord[]): number {
    let written = 0;
    for (const record of records) {
      const head = Buffer.alloc(10);
      head.writeUInt16BE(record.type, 0);
      head.writeUInt16BE(record.class, 2);
      head.writeUInt32BE(record.ttl >>> 0, 4);
      head.writeUInt16BE(record.data.length, 8);
      const offsets = new Map<string, number>();
      const chunks = [...this.#name(record.name, offsets), head, record.data];
      const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      if (this.cut || this.#at + size > this.#limit) {
        this.cut = true;
        break;
      }
      for (const [name, offset] of offsets) this.#offsets.set(name, offset);
      this.#push(chunks);
      written++;
    }
    return written;
  }

  #push(chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) {
      this.chunks.push(chunk);
      this.#at += chunk.length;
    }
  }

  /** The name as labels up to a suffix written before, whose offset closes it; new suffixes are noted in `offsets`. */
  #name(name: string, offsets: Map<string, number>): Uint8Array[] {
    const labels = nameLabels(name);
    if (labels === undefined) throw new RangeError(`"${name}" is not a DNS name`);
    const out: Uint8Array[] = [];
    let at = this.#at;
    for (const [index, label] of labels.entries()) {
      const suffix = labels.slice(index).map(labelKey).join('.');
      const known = this.#offsets.get(suffix);
      if (known !== undefined) return [...out, uint16(0xc000 | known)];
      if (at < 0x4000) offsets.set(suffix, at);
      out.push(Uint8Array.of(label.length), label);
      at += label.length + 1;
    }
    return [...out, Uint8Array.of(0)];
  }
}

/** The length in front keeps a label that holds a dot apart from two labels. */
const labelKey = (label: Uint8Array): string => `${label.length}${Buffer.from(label).toString('latin1')}`;

const uint16 = (value: number): Uint8Array => Uint8Array.of((value >> 8) & 0xff, value & 0xff);
