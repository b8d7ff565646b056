/** A gRPC message begins with a flag and its length, in five bytes. */
const PREFIX_BYTES = 5;

/** Counts the messages of one direction of a gRPC call; they may be split anywhere. A message counts when its length is known. */
export class MessageCounter {
  count = 0;
  /** Bytes of the prefix seen so far, and the length they tell. */
  #prefix = 0;
  #length = 0;
  /** Bytes of the message that are still to come. */
  #left = 0;

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
        continue;
      }
      // The first byte is the flag: shifted out by the four of the length.
      this.#length = this.#prefix === 0 ? 0 : this.#length * 256 + (chunk[at] ?? 0);
      at++;
      if (++this.#prefix < PREFIX_BYTES) continue;
      this.#prefix = 0;
      this.#left = this.#length;
      this.count++;
    }
  }
}

/** Both directions of one call, and what of them was told to the metrics already. */
export class GrpcMessages {
  readonly request: MessageCounter = new MessageCounter();
  readonly response: MessageCounter = new MessageCounter();
  #requestTold = 0;
  #responseTold = 0;

  /** Hands over how many messages came since the last time. */
  tell(more: (request: number, response: number) => void): void {
    const request = this.request.count - this.#requestTold;
    const response = this.response.count - this.#responseTold;
    if (request + response === 0) return;
    this.#requestTold = this.request.count;
    this.#responseTold = this.response.count;
    more(request, response);
  }
}
