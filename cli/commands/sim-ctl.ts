import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { table } from '../terminal/terminal.js';

interface Answer {
  readonly ok: boolean;
  readonly lines: readonly string[];
}

/** Acts on a running simulated host as its operator, and prints the result. */
export async function ctl(words: readonly string[], { dir }: { dir: string }): Promise<void> {
  const { ok, lines } = await ask(join(resolve(dir), 'ctl.sock'), words.length > 0 ? words : ['help']);
  if (!ok) throw new Error(lines.join('\n'));
  const rows = lines.map((line) => line.split('\t').map((text) => ({ text })));
  const output =
    words[0] === 'list' ? table(['name', 'class', 'state', 'network', 'tags'], rows) : lines.join('\n');
  if (output !== '') process.stdout.write(`${output}\n`);
}

function ask(path: string, words: readonly string[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.once('error', () =>
      reject(new Error(`no simulated host answers at ${path}: start one with qmcp sim --dir FOLDER`)),
    );
    socket.once('end', () => resolve(JSON.parse(text) as Answer));
    socket.end(JSON.stringify(words));
  });
}
