/** What dom0's kernel costs on top of the Admin API calls it makes. */
import { connect } from 'node:net';
import { join } from 'node:path';
import type { SimHost } from '../sim/index.js';
import { medians, ms, type Row } from './measure.js';

const RUNS = 400;

export async function kernel(sim: SimHost): Promise<Row[]> {
  const qubesd = join(sim.root, 'run/qubesd.sock');
  const qmcpd = join(sim.root, 'run/qmcp/qmcpd.sock');
  const admin = (method: string, dest: string, argument = '') =>
    exchange(qubesd, `${method}+${argument} dom0 name ${dest}\0`);
  const call = (service: string, target: string, payload: object = {}) =>
    exchange(qmcpd, `${service}+ mcp-control ${target}\0${JSON.stringify(payload)}`);

  await call('qmcp.spawn.Create', 'keyword adminvm', { name: 'ai-bench', template: 'ai-debian' });
  const found = await medians(
    {
      // The very calls behind one qmcp.inspect.State, by a caller that knows which.
      raw: async () => {
        await admin('admin.vm.tag.List', 'ai-bench');
        await admin('admin.vm.List', 'ai-bench');
        await admin('admin.vm.property.GetAll', 'ai-bench');
        await admin('admin.vm.volume.Info', 'ai-bench', 'private');
        await admin('admin.vm.tag.List', 'ai-debian');
        await admin('admin.vm.tag.List', 'sys-ai-net');
      },
      state: () => call('qmcp.inspect.State', 'name ai-bench'),
      hidden: () => call('qmcp.inspect.State', 'name vault'),
      missing: () => call('qmcp.inspect.State', 'name no-such-qube'),
    },
    RUNS,
  );
  const [raw, state, hidden, missing] = ['raw', 'state', 'hidden', 'missing'].map((name) => found.get(name)!);
  return [
    {
      what: 'one qube read ÷ its raw Admin API calls',
      ratio: state! / raw!,
      aim: '< 2',
      detail: `${ms(state!)} ÷ ${ms(raw!)}`,
    },
    { what: 'refusal ÷ one qube read', ratio: hidden! / state!, detail: `${ms(hidden!)} ÷ ${ms(state!)}` },
    {
      what: 'hidden ÷ missing',
      ratio: hidden! / missing!,
      aim: '1',
      detail: `${ms(hidden!)} ÷ ${ms(missing!)}`,
    },
  ];
}

function exchange(path: string, request: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('error', reject);
    socket.once('end', () => {
      socket.destroy();
      resolve(Buffer.concat(chunks));
    });
    socket.end(request);
  });
}
