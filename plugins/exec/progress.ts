import { quoted } from '../../core/api/index.js';

/** Milliseconds between two messages, and characters of one: enough to follow a command, too little to drown a client. */
const PAUSE = 250;
const SHOWN = 4000;

/**
 * Output as progress: what came since the last message, each line of it with whose it is. Of a flood the newest is shown,
 * and how much was passed over; all of it is kept elsewhere.
 */
export class OutputProgress {
  private readonly decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  private waiting: { stream: 'stdout' | 'stderr'; text: string }[] = [];
  private length = 0;
  private passedOver = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private last = 0;

  constructor(private readonly tell: (message: string) => void) {}

  add(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    const newest = this.waiting.at(-1);
    const text = this.decoders[stream].decode(bytes, { stream: true });
    if (newest?.stream === stream) newest.text += text;
    else this.waiting.push({ stream, text });
    this.length += text.length;
    while (this.length > SHOWN) this.passOver();
    this.timer ??= setTimeout(() => this.flush(), Math.max(this.last + PAUSE - Date.now(), 0));
  }

  /** Tells what is left, and no more after that. */
  end(): void {
    this.flush();
  }

  private passOver(): void {
    const [oldest] = this.waiting;
    const cut = Math.min(oldest!.text.length, this.length - SHOWN);
    oldest!.text = oldest!.text.slice(cut);
    if (oldest!.text === '') this.waiting.shift();
    this.length -= cut;
    this.passedOver += cut;
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.length === 0) return;
    const lines = this.waiting.map(({ stream, text }) => quoted(stream, text));
    if (this.passedOver > 0) lines.unshift(`(${this.passedOver} characters not shown)`);
    this.tell(lines.join('\n'));
    this.waiting = [];
    this.length = 0;
    this.passedOver = 0;
    this.last = Date.now();
  }
}
