import { spawn } from 'node:child_process';
import { packageFile } from '../../sim/root.js';

/** The operator's command, in the dom0 whose root this is. */
export function qmcpAdmin(
  root: string,
  ...words: string[]
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const command = packageFile('dom0/operator/qmcp-admin');
    const child = spawn('python3', ['-B', command, '--root', root, ...words]);
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('close', (code) => resolve({ code, out, err }));
  });
}
