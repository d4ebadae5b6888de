import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** The command as a user runs it. */
export const QMCP = fileURLToPath(new URL('../../cli/qmcp.js', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `qmcp` to its end with empty standard input. Output is not a terminal, so it is plain. */
export function qmcp(args: readonly string[], options: { cwd?: string; env?: object } = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [QMCP, ...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.once('error', reject);
    child.once('close', (code) =>
      resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    );
  });
}

/** The built command: its own imports, and nothing to compile again. */
const RUN = new URL('../../dist/cli/run.js', import.meta.url).href;

let last: Promise<unknown> = Promise.resolve();

/**
 * The same command line in this process, for tests of the command's output and effects. The working directory, environment,
 * output and exit code belong to the command while it runs, so calls wait for each other.
 */
export function qmcpInProcess(
  args: readonly string[],
  options: { cwd?: string; env?: object } = {},
): Promise<Ran> {
  const ran = last.then(() => runInProcess(args, options));
  last = ran.catch(() => {});
  return ran;
}

async function runInProcess(
  args: readonly string[],
  { cwd, env }: { cwd?: string; env?: object },
): Promise<Ran> {
  const before = { cwd: process.cwd(), env: process.env, exitCode: process.exitCode };
  const stdout = replaceOutput('stdout');
  const stderr = replaceOutput('stderr');
  try {
    process.env = { ...process.env, ...env };
    process.exitCode = undefined;
    if (cwd !== undefined) process.chdir(cwd);
    const { run } = (await import(RUN)) as typeof import('../../cli/run.js');
    await run(args);
    return { code: Number(process.exitCode ?? 0), stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    stdout.restore();
    stderr.restore();
    process.chdir(before.cwd);
    process.env = before.env;
    process.exitCode = before.exitCode;
  }
}

/** Records everything written to one of this process's streams, as if it were a pipe. */
function replaceOutput(name: 'stdout' | 'stderr') {
  const original = Object.getOwnPropertyDescriptor(process, name)!;
  const chunks: Buffer[] = [];
  const value = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  Object.defineProperty(process, name, { value, configurable: true });
  return {
    text: () => Buffer.concat(chunks).toString(),
    restore: () => Object.defineProperty(process, name, original),
  };
}

/** A folder with an executable that answers like qrexec-client-vm with a dom0 that has `catalog` and nothing else. */
export class CatalogOnlyHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'qmcp-cli-'));
  readonly client = join(this.folder, 'qrexec-client-vm');

  constructor(catalog?: unknown) {
    const reply = join(this.folder, 'reply');
    if (catalog !== undefined) writeFileSync(reply, `${JSON.stringify({ ok: true, result: catalog })}\n`);
    writeFileSync(
      this.client,
      `#!/bin/sh
[ "$1 $2" = "@adminvm qmcp.Catalog" ] && [ -f '${reply}' ] && exec cat '${reply}'
echo Request refused >&2
exit 126
`,
    );
    chmodSync(this.client, 0o755);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
