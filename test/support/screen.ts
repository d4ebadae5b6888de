/** A window on a display of its own, driven as a screen reader drives it. Needs Debian's packages for that, listed below. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { python } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { until } from './waiting.js';

/** The interpreter for which Debian packages PyGObject. */
const PYTHON = '/usr/bin/python3';
const NEEDS = 'python3-gi gir1.2-gtk-3.0 gir1.2-atspi-2.0 at-spi2-core xvfb xauth dbus';
const PROBE = 'import gi; gi.require_version("Gtk", "3.0"); gi.require_version("Atspi", "2.0")';

/** Why no window can be opened here; undefined if one can. */
export function noScreen(): string | undefined {
  const has = (command: string, ...words: string[]) => spawnSync(command, words).status === 0;
  const complete =
    has(PYTHON, '-c', PROBE) && ['xvfb-run', 'dbus-run-session'].every((tool) => has('which', tool));
  return complete ? undefined : `this needs the packages ${NEEDS}`;
}

export interface Widget {
  readonly role: string;
  readonly name: string;
  readonly text: string;
  readonly sensitive: boolean;
  readonly showing: boolean;
  readonly value: number | null;
}

export class Screen {
  private readonly answers: AsyncIterator<string>;

  private constructor(
    private readonly child: ChildProcess,
    lines: Interface,
  ) {
    this.answers = lines[Symbol.asyncIterator]();
  }

  /** Opens the operator's window for the dom0 with this root. */
  static open(root: string, size = '1024x600', env: NodeJS.ProcessEnv = {}): Screen {
    const admin = `${python()} -B ${packageFile('dom0/operator/qmcp-admin')}`;
    const window = [packageFile('dom0/window/qmcp-window'), '--root', root, '--admin', admin, '--size', size];
    const words = [
      ...['-a', '-s', `-screen 0 ${size}x24`, 'dbus-run-session', '--', PYTHON, '-B'],
      ...[packageFile('test/support/screen.py'), PYTHON, '-B', ...window],
    ];
    const child = spawn('xvfb-run', words, {
      stdio: ['pipe', 'pipe', process.env.QMCP_SCREEN_ERRORS ? 'inherit' : 'ignore'],
      env: { ...process.env, NO_AT_BRIDGE: '0', GTK_THEME: 'Adwaita', ...env },
    });
    const lines = createInterface({ input: child.stdout! });
    // The buses outlive it for a moment, and hold its output open.
    child.once('exit', () => lines.close());
    return new Screen(child, lines);
  }

  private async ask<T>(request: unknown): Promise<T> {
    this.child.stdin!.write(`${JSON.stringify(request)}\n`);
    // The buses that it starts write lines of their own.
    for (;;) {
      const { value, done } = await this.answers.next();
      if (done) throw new Error('the display is gone');
      if (value.startsWith('=')) return JSON.parse(value.slice(1)) as T;
    }
  }

  look(): Promise<Widget[]> {
    return this.ask({ do: 'look' });
  }

  /** The names of all widgets of a role that are shown. */
  async names(role: string): Promise<string[]> {
    return (await this.look()).filter((one) => one.role === role && one.showing).map(({ name }) => name);
  }

  /** All that can be read, a widget a line. */
  async text(): Promise<string> {
    const shown = (await this.look()).filter(({ showing }) => showing);
    return shown.map(({ name, text }) => (name === text ? name : `${name} ${text}`)).join('\n');
  }

  /** Resolves when the window shows the text. */
  shows(text: string | RegExp): Promise<void> {
    return until(
      async () => {
        const shown = await this.text();
        return typeof text === 'string' ? shown.includes(text) : text.test(shown);
      },
      () => `${text} on the screen`,
    );
  }

  private act(request: Record<string, string>): Promise<void> {
    return until(
      () => this.ask(request),
      () => JSON.stringify(request),
    );
  }

  press(name: string): Promise<void> {
    return this.act({ do: 'press', role: 'push button', name });
  }

  tick(name: string): Promise<void> {
    return this.act({ do: 'press', role: 'check box', name });
  }

  tab(name: string): Promise<void> {
    return this.act({ do: 'choose', role: 'page tab', name });
  }

  row(cell: string): Promise<void> {
    return this.act({ do: 'row', role: 'table cell', name: cell });
  }

  /** Scrolls all that is shown to its end. */
  end(): Promise<void> {
    return this.act({ do: 'end' });
  }

  write(name: string, text: string): Promise<void> {
    return this.act({ do: 'write', role: 'text', name, text });
  }

  focus(role: string, name: string): Promise<void> {
    return this.act({ do: 'focus', role, name });
  }

  key(key: string): Promise<void> {
    return this.ask({ do: 'key', key });
  }

  picture(path: string): Promise<void> {
    return this.ask({ do: 'picture', path });
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin!.end();
    await ended;
  }
}
