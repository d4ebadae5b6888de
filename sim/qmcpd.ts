/** Runs the qmcpd that ships as a process beside the simulated host. */
import { type PythonProcess, startPython } from './python.js';
import { packageFile } from './root.js';

/** Seconds within which it must be ready. */
const START = 20;

export class Qmcpd {
  private child: PythonProcess | undefined;
  private stderrText = '';

  constructor(
    private readonly root: string,
    private readonly echo: (text: string) => void = () => {},
  ) {}

  /** Its standard error since its last start. */
  get stderr(): string {
    return this.stderrText;
  }

  /** Its process id, while it runs. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Resolves when qmcpd listens. Rejects with its standard error if it does not start. */
  async start(): Promise<void> {
    this.stderrText = '';
    const child = startPython(['-B', '-m', 'qmcpd', '--root', this.root], {
      cwd: packageFile('dom0'),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child = child;
    const stderr = child.stderr!;
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      this.stderrText += text;
      this.echo(text);
    });
    const failure = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (code, signal) => resolve(`it ended with ${signal ?? `exit code ${code}`}`));
      setTimeout(() => resolve(`it was not ready within ${START} s`), START * 1000).unref();
    });
    const ready = new Promise<undefined>((resolve) => {
      stderr.on('data', () => {
        if (this.stderrText.includes('qmcpd: ready\n')) resolve(undefined);
      });
    });
    const problem = await Promise.race([ready, failure]);
    if (problem === undefined) return;
    await this.kill();
    throw new Error(`qmcpd did not start: ${problem}\n${this.stderrText.trim()}`);
  }

  /** Ends it immediately, like a crash or a power failure. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }
}
