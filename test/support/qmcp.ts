import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

/** A folder with an executable that answers as qrexec-client-vm does before a dom0 that says `catalog` and nothing else. */
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
