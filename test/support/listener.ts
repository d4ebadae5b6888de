import { Input } from '../../sim/qrexec/input.js';
import type { Harness } from './harness.js';
import { until } from './waiting.js';

export interface HeardEvent {
  readonly event: string;
  readonly qube: string | null;
}

/** The template of the demo's world: the tests change its label to see whether a listener has caught up. */
const MARKER = 'ai-debian';

/** An agent that listens to the events of its world's qubes. */
export class Listener {
  private text = '';
  private markers = 0;
  private readonly hangUp = new AbortController();
  private readonly ended: Promise<unknown>;

  private constructor(private readonly harness: Harness) {
    this.ended = harness.sim.qrexec.call(
      { source: 'mcp-control', target: '@adminvm', service: 'qmcp.events.Watch' },
      {
        stdin: Input.of(Buffer.from('{"seconds":600}')),
        stdout: (bytes) => {
          this.text += Buffer.from(bytes);
        },
        stderr: () => {},
        signal: this.hangUp.signal,
      },
    );
  }

  /** It misses no event from here on. */
  static async of(harness: Harness): Promise<Listener> {
    const listener = new Listener(harness);
    await until(() => listener.all().some(({ event }) => event === 'watching'));
    return listener;
  }

  /** The events so far. */
  heard(): HeardEvent[] {
    return this.all().filter(
      ({ event, qube }) => !['watching', 'nothing'].includes(event) && qube !== MARKER,
    );
  }

  /** The events after it has heard everything that has happened until now. */
  async caughtUp(): Promise<HeardEvent[]> {
    this.markers += 1;
    const label = this.markers % 2 ? 'orange' : 'yellow';
    await this.harness.operator('admin.vm.property.Set', MARKER, 'label', label);
    await until(() => this.all().filter(({ qube }) => qube === MARKER).length === this.markers);
    return this.heard();
  }

  /** Disconnects. qmcpd notices at the next event. */
  async leave(): Promise<void> {
    this.hangUp.abort();
    await this.ended;
  }

  /** All its events, when no more come. */
  async end(): Promise<string> {
    await this.ended;
    return this.text;
  }

  private all(): HeardEvent[] {
    const lines = this.text.split('\n').slice(0, -1);
    return lines.flatMap((line) => (JSON.parse(line) as { result?: HeardEvent }).result ?? []);
  }
}
