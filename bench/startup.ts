/** Measures the time from the start of the process to the first list of tools. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { SimHost } from '../sim/index.js';
import { medians, ms, type Row } from './measure.js';

const RUNS = 10;
const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const OPENING = [
  {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } },
  },
  { jsonrpc: '2.0', method: 'notifications/initialized' },
  { jsonrpc: '2.0', id: 2, method: 'tools/list' },
]
  .map((message) => `${JSON.stringify(message)}\n`)
  .join('');

export async function startup(sim: SimHost): Promise<Row[]> {
  const client = await sim.client('mcp-control');
  const times = await medians(
    {
      bare: () => firstToolsList([file('./bare-server.js')]),
      serve: () => firstToolsList([file('../cli/main.js'), 'serve', '--client', client]),
    },
    RUNS,
  );
  const [bare, serve] = [times.get('bare')!, times.get('serve')!];
  const detail = `${ms(serve)} ÷ ${ms(bare)}`;
  return [
    {
      what: 'qmcp serve to its first tools/list ÷ a bare SDK server',
      ratio: serve / bare,
      aim: '< 1.5',
      detail,
    },
  ];
}

function firstToolsList(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (!output.includes('"id":2')) return;
      child.kill();
      resolve();
    });
    child.once('close', () =>
      output.includes('"id":2') ? resolve() : reject(new Error(`${args[0]} ended early`)),
    );
    child.stdin.write(OPENING);
  });
}
