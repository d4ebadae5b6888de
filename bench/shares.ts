/** Measures how much of its throughput a world keeps while another caller floods qmcpd. */
import { appendFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { SimHost } from '../sim/index.js';
import type { Row } from './measure.js';

/** As many as qmcpd keeps open for one principal: `connections` of dom0/spec/limits.toml. */
const CONNECTIONS = 128;
/** Seconds for each throughput, and how many pairs of them are compared: the machine may slow down in between. */
const SECONDS = 1;
const ROUNDS = 7;
/** Answers after which a flood is beyond its budget of one minute and its first rush of refusals. */
const BUDGET = 900;

/** The flooding world has the limits of the shipped qmcp.toml; the other one has room for every call that it makes. */
export function addWorld(root: string): void {
  appendFileSync(
    join(root, 'etc/qmcp/qmcp.toml'),
    '\n[world.lab]\nprefix = "lab-"\n[world.lab.budget]\ncalls_per_minute = 100000\n' +
      '[world.lab.principal.lab-control]\nplugins = ["inspect"]\n',
  );
}

const LIST = 'qmcp.inspect.List+ mcp-control keyword adminvm\0';
/** Each request is what one connection sends; a request without an end stays half open. */
const FLOODS: Record<string, { request: string; ends: boolean }> = {
  'half-open connections': { request: `${LIST}{`, ends: false },
  'calls of a world beyond its rate': { request: `${LIST}{}`, ends: true },
  'calls to a service with an argument': {
    request: LIST.replace('List+', 'List+x').concat('{}'),
    ends: true,
  },
  'calls of a former principal': { request: LIST.replace('mcp-control', 'former').concat('{}'), ends: true },
};

export async function shares(sim: SimHost): Promise<Row[]> {
  const path = join(sim.root, 'run/qmcp/qmcpd.sock');
  await sim.host.call(Buffer.from('admin.vm.tag.Set+lab-managed dom0 name personal\0'));
  const read = () => exchange(path, 'qmcp.inspect.State+personal lab-control name personal\0{}').whole;
  const rows: Row[] = [];
  for (const [what, { request, ends }] of Object.entries(FLOODS)) {
    const flood = new Flood(path, request, ends);
    flood.start();
    // First it uses up its budget of one minute, and its first rush of refusals.
    if (ends) await flood.answered(BUDGET);
    flood.stop();
    const rounds: { alone: number; flooded: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const alone = await perSecond(read);
      flood.start();
      const flooded = await perSecond(read);
      flood.stop();
      rounds.push({ alone, flooded });
    }
    rounds.sort((one, other) => one.flooded / one.alone - other.flooded / other.alone);
    const { alone, flooded } = rounds[ROUNDS >> 1]!;
    rows.push({
      what: `qubes read a second by another world, during ${CONNECTIONS} ${what} ÷ without`,
      ratio: flooded / alone,
      aim: '> 0.8',
      detail: `${flooded.toFixed(0)} ÷ ${alone.toFixed(0)} calls/s`,
    });
  }
  return rows;
}

/** A caller that opens each of its connections again as soon as it ends. */
class Flood {
  private readonly open = new Set<Socket>();
  private isRunning = false;
  private answers = 0;
  private hasAnswered = () => {};

  constructor(
    private readonly path: string,
    private readonly request: string,
    private readonly ends: boolean,
  ) {}

  start(): void {
    this.isRunning = true;
    for (let at = 0; at < CONNECTIONS; at++) void this.repeat();
  }

  stop(): void {
    this.isRunning = false;
    for (const socket of this.open) socket.destroy();
  }

  answered(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.hasAnswered = () => {
        if (this.answers >= count) resolve();
      };
    });
  }

  private async repeat(): Promise<void> {
    while (this.isRunning) {
      const { socket, whole } = exchange(this.path, this.request, this.ends);
      this.open.add(socket);
      await whole.catch(() => {});
      this.open.delete(socket);
      this.answers += 1;
      this.hasAnswered();
    }
  }
}

async function perSecond(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  let done = 0;
  for (; performance.now() - start < SECONDS * 1000; done++) await act();
  return (done / (performance.now() - start)) * 1000;
}

function exchange(path: string, request: string, ends = true): { socket: Socket; whole: Promise<void> } {
  const socket = connect({ path, allowHalfOpen: true });
  const whole = new Promise<void>((resolve, reject) => {
    socket.on('data', () => {});
    socket.once('error', reject);
    socket.once('close', () => resolve());
    socket.once('end', () => socket.destroy());
  });
  socket.write(request);
  if (ends) socket.end();
  return { socket, whole };
}
