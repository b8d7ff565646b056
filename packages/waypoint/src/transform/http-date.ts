/** The value of a `date` header for a time in milliseconds (RFC 9110 §5.6.7), formatted once per second. */
export class HttpDate {
  #second = -1;
  #text = '';

  at(ms: number): string {
    const second = Math.floor(ms / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1000).toUTCString();
    }
    return this.#text;
  }
}
