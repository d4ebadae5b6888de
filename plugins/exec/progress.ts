import { prefixLines, unfinished } from '../../core/api/index.js';

/** Milliseconds between two messages, and the most characters of one, so that a client is not flooded. */
const INTERVAL = 250;
const MAX_CHARACTERS = 4000;

/**
 * Sends output as progress messages: the output since the last message, with the stream's name before each line. If there is
 * too much, a message has the newest part and the number of characters left out; the output store keeps all of it.
 */
export class OutputProgress {
  private readonly decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  /** What the next bytes of a stream complete. */
  private readonly held = { stdout: '', stderr: '' };
  private pending: { stream: 'stdout' | 'stderr'; text: string }[] = [];
  private length = 0;
  private skipped = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private last = 0;

  constructor(private readonly send: (message: string) => void) {}

  add(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    const decoded = this.held[stream] + this.decoders[stream].decode(bytes, { stream: true });
    const complete = decoded.length - unfinished(decoded);
    this.held[stream] = decoded.slice(complete);
    this.push(stream, decoded.slice(0, complete));
  }

  private push(stream: 'stdout' | 'stderr', text: string): void {
    if (text === '') return;
    const newest = this.pending.at(-1);
    if (newest?.stream === stream) newest.text += text;
    else this.pending.push({ stream, text });
    this.length += text.length;
    while (this.length > MAX_CHARACTERS) this.skip();
    this.timer ??= setTimeout(() => this.flush(), Math.max(this.last + INTERVAL - Date.now(), 0));
  }

  /** Sends the remaining output. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) this.push(stream, this.held[stream]);
    this.flush();
  }

  private skip(): void {
    const [oldest] = this.pending;
    const cut = Math.min(oldest!.text.length, this.length - MAX_CHARACTERS);
    oldest!.text = oldest!.text.slice(cut);
    if (oldest!.text === '') this.pending.shift();
    this.length -= cut;
    this.skipped += cut;
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.length === 0) return;
    const lines = this.pending.map(({ stream, text }) => prefixLines(stream, text));
    if (this.skipped > 0) lines.unshift(`(${this.skipped} characters not shown)`);
    this.send(lines.join('\n'));
    this.pending = [];
    this.length = 0;
    this.skipped = 0;
    this.last = Date.now();
  }
}
