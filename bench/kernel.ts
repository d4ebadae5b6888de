/** Measures the cost of dom0's kernel on top of the Admin API calls that it makes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { SimHost } from '../sim/index.js';
import { python } from '../sim/python.js';
import { packageFile } from '../sim/root.js';
import { medians, ms, type Row } from './measure.js';

const RUNS = 400;
/** Seconds for each number of connections. */
const LOAD_SECONDS = 3;
const CONNECTIONS = 16;
const MANY_QUBES = 1_000;

/** The Admin API calls that one qmcp.inspect.State makes. */
const CALLS_OF_STATE = [
  'admin.vm.tag.List - ai-bench',
  'admin.vm.List - ai-bench',
  'admin.vm.property.GetAll - ai-bench',
  'admin.vm.volume.Info private ai-bench',
  'admin.vm.tag.List - ai-debian',
  'admin.vm.tag.List - sys-ai-net',
];

/** A process that only makes Admin API calls. */
class RawCaller {
  private readonly child: ChildProcess;
  private readonly answers: AsyncIterator<string>;

  constructor(qubesd: string) {
    this.child = spawn(python(), ['-B', packageFile('bench/raw.py'), qubesd], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.answers = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** Returns the milliseconds for all of these calls in sequence. */
  async once(calls: readonly string[]): Promise<number> {
    this.child.stdin!.write(`1 ${calls.join(',')}\n`);
    return Number((await this.answers.next()).value);
  }

  end(): void {
    this.child.stdin!.end();
  }
}

/** Sends requests to the sockets of qubesd and qmcpd. */
class SocketClient {
  private readonly qubesd: string;
  private readonly qmcpd: string;

  constructor(private readonly sim: SimHost) {
    this.qubesd = join(sim.root, 'run/qubesd.sock');
    this.qmcpd = join(sim.root, 'run/qmcp/qmcpd.sock');
  }

  admin = (method: string, dest: string, argument = '') =>
    exchange(this.qubesd, `${method}+${argument} dom0 name ${dest}\0`);

  call = (service: string, target: string, payload: object = {}) => {
    const argument = target.startsWith('name ') ? target.slice('name '.length) : '';
    return exchange(this.qmcpd, `${service}+${argument} mcp-control ${target}\0${JSON.stringify(payload)}`);
  };

  /** Restarts qmcpd and waits for the answer to its first call. */
  async coldStart(): Promise<unknown> {
    await this.sim.qmcpd.restart();
    return this.call('qmcp.inspect.List', 'keyword adminvm');
  }
}

export async function kernel(sim: SimHost): Promise<Row[]> {
  const client = new SocketClient(sim);
  const { call } = client;
  for (const name of ['ai-bench', 'ai-removed'])
    await call('qmcp.spawn.Create', 'keyword adminvm', { name, template: 'ai-debian' });
  await call('qmcp.spawn.Remove', 'name ai-removed');
  await client.admin('admin.vm.tag.Set', 'personal', 'ai-managed');
  const state = () => call('qmcp.inspect.State', 'name ai-bench');
  const startQube = (name: string) => () => call('qmcp.spawn.Start', `name ${name}`);
  const raw = new RawCaller(join(sim.root, 'run/qubesd.sock'));
  const raws: number[] = [];
  const times = await medians(
    {
      state,
      hidden: startQube('vault'),
      missing: startQube('no-such-qube'),
      underTier: startQube('personal'),
      removed: startQube('ai-removed'),
      // Interleaved with the others, but timed by the other process itself.
      raw: async () => raws.push(await raw.once(CALLS_OF_STATE)),
    },
    RUNS,
  );
  raw.end();
  const of = (name: string) => times.get(name)!;
  const least = raws.sort((one, other) => one - other)[raws.length >> 1]!;
  const [one, many] = [await perSecond(state, 1), await perSecond(state, CONNECTIONS)];
  const cold = (await medians({ cold: () => client.coldStart() }, 10)).get('cold')!;
  return [
    ratio('one qube read ÷ its raw Admin API calls, by another process', of('state'), least, '< 2'),
    ratio('refusal ÷ one qube read', of('hidden'), of('state')),
    ratio('hidden ÷ missing', of('hidden'), of('missing'), '1'),
    ratio('under tier ÷ missing', of('underTier'), of('missing'), '1'),
    ratio('removed ÷ missing', of('removed'), of('missing'), '1'),
    {
      what: `qubes read a second, ${CONNECTIONS} connections ÷ 1`,
      ratio: many / one,
      detail: `${many.toFixed(0)} ÷ ${one.toFixed(0)} calls/s`,
    },
    { what: 'qmcpd, from its start to its first answer', ratio: cold / of('state'), detail: ms(cold) },
  ];
}

/** Measures a list on a host with a thousand qubes in the world. */
export async function listOfMany(sim: SimHost): Promise<Row[]> {
  const { admin, call } = new SocketClient(sim);
  const list = () => call('qmcp.inspect.List', 'keyword adminvm');
  const reply = JSON.parse((await list()).toString('utf8')) as { result: { qubes: unknown[] } };
  const length = reply.result.qubes.length;
  const times = await medians({ raw: () => admin('admin.vm.List', 'dom0'), list }, 5);
  const { list: qmcp, raw } = Object.fromEntries(times) as { list: number; raw: number };
  return [ratio(`list of ${length} qubes ÷ one raw admin.vm.List`, qmcp, raw)];
}

/** Adds qubes to the demo host, so that the world has `count` qubes including its template. */
export function withMany<W extends { readonly qubes: readonly { readonly name: string }[] }>(
  world: W,
  count = MANY_QUBES,
): W {
  const one = { class: 'AppVM', label: 'red', template: 'ai-debian', tags: ['ai-managed', 'ai-full'] };
  const more = Array.from({ length: count - 1 }, (_, at) => ({ ...one, name: `ai-n${at}` }));
  return { ...world, qubes: [...world.qubes, ...more] };
}

const ratio = (what: string, cost: number, least: number, aim?: string): Row => ({
  what,
  ratio: cost / least,
  ...(aim !== undefined && { aim }),
  detail: `${ms(cost)} ÷ ${ms(least)}`,
});

/** Returns how many times per second `act` completes over this number of connections. */
async function perSecond(act: () => Promise<unknown>, connections: number): Promise<number> {
  const start = performance.now();
  let done = 0;
  const work = async () => {
    while (performance.now() - start < LOAD_SECONDS * 1000) {
      await act();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
  return (done / (performance.now() - start)) * 1000;
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
