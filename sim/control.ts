/**
 * The actions of the person at the simulated machine, as commands: tags, properties, firewalls, devices, faults. One table of
 * commands; `sim ctl` sends the words over a socket and prints the reply.
 */
import { createServer, type Socket } from 'node:net';
import type { StartFailure } from './host/faults.js';
import type { Host } from './host/host.js';
import { deviceOf } from './host/populate.js';
import type { Device } from './host/qube.js';
import type { Qrexec } from './qrexec/daemon.js';

export interface Control {
  readonly host: Host;
  readonly qrexec: Qrexec;
}

/** Invalid words. The message says what is valid. */
export class BadWords extends Error {
  override readonly name = 'BadWords';
}

interface Command {
  readonly usage: string;
  readonly does: string;
  /** The lines to print; none for a change without output. */
  run(control: Control, words: readonly string[]): Promise<readonly string[]> | readonly string[];
}

const POWER = ['Start', 'Shutdown', 'Kill', 'Pause', 'Unpause', 'Remove'] as const;

export const COMMANDS: Readonly<Record<string, Command>> = {
  help: {
    usage: '',
    does: 'list these commands',
    run: () => help(),
  },
  list: {
    usage: '',
    does: 'list every qube with its class, state, network and tags',
    run: ({ host }) =>
      host
        .snapshot()
        .qubes.map((qube) =>
          [qube.name, qube.class, qube.state, qube.properties.netvm || '-', qube.tags.join(',') || '-'].join(
            '\t',
          ),
        ),
  },
  tag: {
    usage: 'QUBE +TAG|-TAG ...',
    does: 'add and remove tags',
    run: async (control, [qube, ...changes]) => {
      for (const change of changes) {
        if (!/^[+-]./.test(change)) throw new BadWords(`${change}: expected +TAG or -TAG`);
        await admin(
          control,
          `admin.vm.tag.${change.startsWith('+') ? 'Set' : 'Remove'}`,
          qube,
          change.slice(1),
        );
      }
      return lines(await admin(control, 'admin.vm.tag.List', qube));
    },
  },
  prefs: {
    usage: 'QUBE [PROPERTY [VALUE]]',
    does: 'show or set properties; an empty VALUE is none',
    run: async (control, [qube, property, value]) => {
      if (value !== undefined) await admin(control, 'admin.vm.property.Set', qube, property, value);
      return property === undefined
        ? lines(await admin(control, 'admin.vm.property.GetAll', qube))
        : [await admin(control, 'admin.vm.property.Get', qube, property)];
    },
  },
  feature: {
    usage: 'QUBE NAME [VALUE]',
    does: 'show or set a feature',
    run: async (control, [qube, name, value]) => {
      if (value !== undefined) await admin(control, 'admin.vm.feature.Set', qube, name, value);
      return [await admin(control, 'admin.vm.feature.Get', qube, name)];
    },
  },
  firewall: {
    usage: 'QUBE [RULE ...]',
    does: 'show or replace the rules, each quoted as one word',
    run: async (control, [qube, ...rules]) => {
      if (rules.length > 0) await admin(control, 'admin.vm.firewall.Set', qube, '', `${rules.join('\n')}\n`);
      return lines(await admin(control, 'admin.vm.firewall.Get', qube));
    },
  },
  power: {
    usage: `${POWER.join('|').toLowerCase()} QUBE`,
    does: 'start, stop or remove a qube',
    run: async (control, [change, qube]) => {
      const method = POWER.find((one) => one.toLowerCase() === change);
      if (method === undefined)
        throw new BadWords(`${change}: expected one of ${POWER.join(', ').toLowerCase()}`);
      await admin(control, `admin.vm.${method}`, qube);
      return [];
    },
  },
  crash: {
    usage: 'QUBE',
    does: 'make the qube crash',
    run: async ({ host }, [qube]) => {
      await host.crash(requireQube(host, qube));
      return [];
    },
  },
  plug: {
    usage: 'QUBE block|usb|mic PORT [NAME]',
    does: 'plug a device into a qube',
    run: ({ host }, [qube, devclass, port, name]) => {
      const backend = host.domain(requireQube(host, qube));
      if (devclass !== 'block' && devclass !== 'usb' && devclass !== 'mic')
        throw new BadWords(`${devclass}: expected block, usb or mic`);
      if (!port) throw new BadWords('expected the name of a port, for example sda');
      host.plug(deviceOf(backend, { class: devclass, port, ...(name !== undefined && { name }) }));
      return [];
    },
  },
  unplug: {
    usage: 'QUBE PORT',
    does: 'remove a device from a qube',
    run: ({ host }, [qube, port]) => {
      const exposed: Device[] = [...host.domain(requireQube(host, qube)).devices.exposed.values()].flat();
      const device = exposed.find((one) => one.port === port);
      if (device === undefined) throw new BadWords(`${qube} has no device at ${port}`);
      host.unplug(device);
      return [];
    },
  },
  fault: {
    usage:
      'METHOD [dest=QUBE] [count=N] [after=N] [onein=N] [error=TYPE:MESSAGE] [drop=before|after] [delay=MS]',
    does: 'make calls of this Admin API method fail; a * at its end means all that begin like it',
    run: ({ host }, [method, ...settings]) => {
      if (!method?.startsWith('admin.')) throw new BadWords('expected a method, for example admin.vm.Start');
      host.faults.add({ method, ...Object.assign({}, ...settings.map(setting)) });
      return [];
    },
  },
  'fail-start': {
    usage: 'QUBE memory|hypervisor|qrexec [COUNT]',
    does: 'make the next starts of a qube fail',
    run: ({ host }, [qube, at, count = '1']) => {
      if (!['memory', 'hypervisor', 'qrexec'].includes(at!))
        throw new BadWords(`${at}: expected memory, hypervisor or qrexec`);
      host.faults.failStart(requireQube(host, qube), at as StartFailure, { count: number('count', count) });
      return [];
    },
  },
  hang: {
    usage: 'QUBE [off]',
    does: 'make a qube ignore requests to shut down',
    run: ({ host }, [qube, off]) => {
      if (off === 'off') host.faults.unhang(requireQube(host, qube));
      else host.faults.hangShutdown(requireQube(host, qube));
      return [];
    },
  },
  'faults-clear': {
    usage: '',
    does: 'remove all faults',
    run: ({ host }) => {
      host.faults.clear();
      return [];
    },
  },
  answer: {
    usage: 'no|first|TARGET',
    does: "set the operator's answer to every later question of the policy",
    run: ({ qrexec }, [answer]) => {
      if (!answer) throw new BadWords('expected no, first, or a target');
      qrexec.operator = ({ targets, preselected }) =>
        answer === 'no' ? null : answer === 'first' ? (preselected ?? targets[0] ?? null) : answer;
      return [];
    },
  },
};

/** Every command, one a line. */
export const help = (): string[] =>
  Object.entries(COMMANDS).map(
    ([command, { usage, does }]) => `${`${command} ${usage}`.trim()}\n    ${does}`,
  );

export async function carryOut(control: Control, words: readonly string[]): Promise<readonly string[]> {
  const [name = '', ...rest] = words;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined)
    throw new BadWords(`${name || '(no command)'}: the commands are ${Object.keys(COMMANDS).join(', ')}`);
  return command.run(control, rest);
}

function setting(word: string): object {
  const [, key, value] = /^(\w+)=(.*)$/s.exec(word) ?? [];
  if (key === 'dest') return { dest: value };
  if (key === 'count' || key === 'after' || key === 'delay') return { [key]: number(key, value!) };
  if (key === 'onein') return { oneIn: number(key, value!) };
  if (key === 'drop' && (value === 'before' || value === 'after')) return { drop: value };
  const [, type, message] = /^(\w+):(.*)$/s.exec(value ?? '') ?? [];
  if (key === 'error' && type !== undefined) return { error: { type, message } };
  throw new BadWords(
    `${word}: expected dest=, count=, after=, onein=, error=TYPE:MESSAGE, drop=before|after or delay=`,
  );
}

function number(key: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new BadWords(`${key}=${text}: expected a number`);
  return Number(text);
}

function requireQube(host: Host, qube: string | undefined): string {
  if (qube === undefined || host.qube(qube) === undefined)
    throw new BadWords(qube === undefined ? 'expected a qube' : `there is no qube ${qube}`);
  return qube;
}

const lines = (data: string): string[] => data.split('\n').filter(Boolean);

/** Acts as dom0 through the Admin API: an operator has no other way either. */
async function admin(
  { host }: Control,
  method: string,
  qube: string | undefined,
  argument = '',
  payload = '',
): Promise<string> {
  const request = Buffer.from(`${method}+${argument} dom0 name ${requireQube(host, qube)}\0${payload}`);
  const reply = Buffer.from(await host.call(request)).toString('utf8');
  if (reply.startsWith('0\0')) return reply.slice(2);
  const [, type, , message] = reply.split('\0');
  throw new BadWords(
    reply === '' ? `${method}: qubesd closed the connection without a reply` : `${type}: ${message}`,
  );
}

export interface Answer {
  readonly ok: boolean;
  readonly lines: readonly string[];
}

/** Serves the commands on a socket: a JSON list of words in, one line of JSON out. */
export async function serveControl(control: Control, path: string): Promise<{ close(): Promise<void> }> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', async () =>
      socket.end(`${JSON.stringify(await answer(control, Buffer.concat(chunks)))}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    close: () => {
      for (const socket of open) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(control: Control, request: Buffer): Promise<Answer> {
  try {
    const words: unknown = JSON.parse(request.toString('utf8'));
    if (!Array.isArray(words) || !words.every((word) => typeof word === 'string'))
      throw new BadWords('expected a list of words');
    return { ok: true, lines: await carryOut(control, words) };
  } catch (error) {
    return { ok: false, lines: [(error as Error).message] };
  }
}
