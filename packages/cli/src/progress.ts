/** A stream to write to; `isTTY` decides about colour and about progress that rewrites its line. */
export interface Terminal {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Whoever waits longer than this is told what for. */
const PATIENCE_MS = 1000;
const ERASE_LINE = '\r\u001b[2K';

/** Says what is being waited for: on a terminal one line that is rewritten, elsewhere one line for each new text. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #colour: boolean;
  readonly #now: () => number;
  readonly #began: number;
  #shown = '';
  #onScreen = false;

  constructor(options: { terminal: Terminal; colour: boolean; now: () => number }) {
    this.#terminal = options.terminal;
    this.#colour = options.colour;
    this.#now = options.now;
    this.#began = options.now();
  }

  show(text: string): void {
    const elapsed = this.#now() - this.#began;
    if (this.#terminal.isTTY === true) this.#rewrite(`${(elapsed / 1000).toFixed(1).padStart(5)} s  ${text}`);
    else if (elapsed >= PATIENCE_MS && text !== this.#shown) {
      this.#shown = text;
      this.#terminal.write(`${(elapsed / 1000).toFixed(1).padStart(5)} s  ${text}\n`);
    }
  }

  /** Cut at the terminal's width: a line that wraps could not be rewritten. */
  #rewrite(text: string): void {
    const cut = Array.from(text)
      .slice(0, Math.max(20, (this.#terminal.columns || 80) - 1))
      .join('');
    this.#terminal.write(`${ERASE_LINE}${this.#colour ? `\u001b[2m${cut}\u001b[0m` : cut}`);
    this.#onScreen = true;
  }

  erase(): void {
    if (!this.#onScreen) return;
    this.#onScreen = false;
    this.#terminal.write(ERASE_LINE);
  }
}
