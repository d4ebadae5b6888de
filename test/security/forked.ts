import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { python } from '../../sim/python.js';
import { Qmcpd } from '../../sim/qmcpd.js';
import { packageFile } from '../../sim/root.js';

/** Milliseconds a qmcpd has to listen, or to be gone. */
const PATIENCE = 20_000;

/**
 * Lets simulated hosts start their qmcpd from a process that has it loaded: the same code, unmodified, in a process of its
 * own, in a tenth of the time. Two hosts a pair, hundreds of pairs: otherwise most of the time goes into importing asyncio.
 */
export class ForkedQmcpd {
  private readonly running = new Map<Qmcpd, number>();
  private readonly answers: AsyncIterator<string>;
  private last: Promise<unknown> = Promise.resolve();
  private said = '';

  private constructor(private readonly parent: ChildProcess) {
    this.answers = createInterface({ input: parent.stdout! })[Symbol.asyncIterator]();
    parent.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.said = (this.said + text).slice(-10_000);
    });
  }

  /**
   * From now on, for the hosts of this file. `dom0` is the folder its code is in. With `counts` each qmcpd says in
   * var/log/work what every call has cost it: counted.py.
   */
  static install({ dom0 = packageFile('dom0'), counts = false } = {}): ForkedQmcpd {
    const script = fileURLToPath(new URL('forked.py', import.meta.url));
    const forked = new ForkedQmcpd(
      spawn(python(), ['-B', script, ...(counts ? ['--count'] : [])], {
        cwd: dom0,
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
    );
    vi.spyOn(Qmcpd.prototype, 'start').mockImplementation(function (this: Qmcpd) {
      return forked.start(this);
    });
    vi.spyOn(Qmcpd.prototype, 'kill').mockImplementation(function (this: Qmcpd, signal) {
      return forked.kill(this, signal);
    });
    return forked;
  }

  async remove(): Promise<void> {
    vi.restoreAllMocks();
    for (const pid of this.running.values()) told(pid, 'SIGKILL');
    const gone = once(this.parent, 'exit');
    this.parent.stdin!.end();
    await gone;
  }

  private async start(qmcpd: Qmcpd): Promise<void> {
    const { root } = qmcpd as unknown as { root: string };
    const path = join(root, 'run/qmcp/qmcpd.sock');
    // What one before has left must not be taken for the new one's: it listens only when it has recovered.
    rmSync(path, { force: true });
    const turn = this.last.then(() => this.fork(root));
    this.last = turn.catch(() => undefined);
    this.running.set(qmcpd, await turn);
    const until = performance.now() + PATIENCE;
    while (!(await listens(path))) {
      if (performance.now() > until) throw new Error(`qmcpd did not start:\n${this.said}`);
      await sleep(2);
    }
  }

  private async fork(root: string): Promise<number> {
    this.parent.stdin!.write(`${root}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`no qmcpd can be started:\n${this.said}`);
    return Number(value);
  }

  private async kill(qmcpd: Qmcpd, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const pid = this.running.get(qmcpd);
    if (pid === undefined) return;
    told(pid, signal);
    const until = performance.now() + PATIENCE;
    while (told(pid, 0) && performance.now() < until) await sleep(1);
    // Whoever kills it a second time meanwhile waits for its end, too.
    if (this.running.get(qmcpd) === pid) this.running.delete(qmcpd);
  }
}

/** False when there is no such process any more. A signal of 0 only asks. */
function told(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** Says nothing on it: to qmcpd, a call without a descriptor. */
function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => socket.destroy());
    socket.once('error', () => resolve(false));
    socket.once('close', (failed) => !failed && resolve(true));
  });
}
