import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/waiting.js';
import { MemoryEngine } from '../guests/memory.js';
import { Host } from '../host/host.js';
import type { HostSpec } from '../host-spec.js';
import { Qrexec } from './daemon.js';
import { Endpoint } from './endpoint.js';
import { RunningGuests } from './insides.js';

const WORLD: HostSpec = {
  properties: { default_template: 'tpl', default_netvm: null },
  qubes: [
    { name: 'dom0', class: 'AdminVM', label: 'black' },
    { name: 'tpl', class: 'TemplateVM', label: 'black' },
    {
      name: 'dvm',
      class: 'AppVM',
      label: 'red',
      template: 'tpl',
      properties: { template_for_dispvms: true },
    },
    {
      name: 'caller',
      class: 'AppVM',
      label: 'red',
      template: 'tpl',
      state: 'Running',
      properties: { default_dispvm: 'dvm' },
    },
    { name: 'up', class: 'AppVM', label: 'red', template: 'tpl', state: 'Running', tags: ['t'] },
    { name: 'down', class: 'AppVM', label: 'red', template: 'tpl', tags: ['t'] },
  ],
};

let directory: string;
let root: string;
let host: Host;
let insides: RunningGuests;
let qrexec: Qrexec;
let endpoint: Endpoint;
const servers: Server[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'qrexec-'));
  root = join(directory, 'dom0');
  for (const one of ['etc/qubes/policy.d', 'etc/qubes-rpc', 'etc/qubes/rpc-config', 'run/qubes-rpc'])
    mkdirSync(join(root, one), { recursive: true });
  host = Host.load(WORLD);
  insides = await RunningGuests.of(host, new MemoryEngine());
  qrexec = new Qrexec(host, root, insides, join(root, 'var/log/qrexec.log'));
  endpoint = await Endpoint.listen(qrexec, 'caller', join(directory, 'caller'));
});
afterEach(async () => {
  await endpoint.close();
  await insides.close();
  for (const server of servers.splice(0)) server.close();
  rmSync(directory, { recursive: true, force: true });
});

const policy = (text: string, name = '10-test.policy') =>
  writeFileSync(join(root, 'etc/qubes/policy.d', name), text);
const log = () => readFileSync(join(root, 'var/log/qrexec.log'), 'utf8');

interface Result {
  exit: number | null;
  stdout: string;
  stderr: string;
}

/** A call through the executable, as a program in the qube `caller` makes it. */
function call(target: string, service: string, stdin: string | Buffer = ''): Promise<Result> {
  return run([target, service], stdin);
}

function run(words: readonly string[], stdin: string | Buffer = ''): Promise<Result> {
  return new Promise((resolve) => {
    const child = spawn(endpoint.client, words);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('close', (exit) => resolve({ exit, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
  });
}

const REFUSED: Result = { exit: 126, stdout: '', stderr: 'Request refused\n' };

/** A socket service of dom0 that answers with its input. */
function socketService(name: string, answer: (socket: Socket, heard: Buffer) => void): Promise<void> {
  const path = join(directory, `${servers.length}.sock`);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => answer(socket, Buffer.concat(chunks)));
    socket.on('error', () => {});
  });
  servers.push(server);
  symlinkSync(path, join(root, 'etc/qubes-rpc', name));
  return new Promise((resolve) => server.listen(path, resolve));
}

function executable(name: string, script: string, folder = 'etc/qubes-rpc', mode = 0o755): void {
  writeFileSync(join(root, folder, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(root, folder, name), mode);
}

const echo = (socket: Socket, heard: Buffer) => socket.end(heard);

describe('a call that does not get through looks the same, whatever the reason', () => {
  const setUp: Record<string, () => void> = {
    'no policy at all': () => rmSync(join(root, 'etc/qubes/policy.d'), { recursive: true }),
    'no rule': () => policy(''),
    'a deny': () => policy('a.B * caller up deny'),
    'a syntax error in another file': () => {
      policy('a.B * caller up allow');
      policy('nonsense', '20-broken.policy');
    },
    'a file of a bad name': () => {
      policy('a.B * caller up allow');
      policy('', 'Upper.policy');
    },
    'an ask nobody answers': () => policy('a.B * caller up ask'),
    'a target that does not exist': () => policy('a.B * caller nowhere allow'),
    'a target that would have to be started': () => policy('a.B * caller up allow target=down autostart=no'),
    loopback: () => policy('a.B * caller up allow target=caller'),
  };
  for (const [what, change] of Object.entries(setUp))
    it(what, async () => {
      change();
      const before = JSON.stringify(host.snapshot());
      expect(await call('up', 'a.B')).toEqual(REFUSED);
      expect(JSON.stringify(host.snapshot())).toBe(before);
    });

  it('a start that fails', async () => {
    policy('qubes.VMShell * caller down allow');
    host.faults.add({
      method: 'admin.vm.Start',
      error: { type: 'QubesMemoryError', message: 'Not enough memory to start domain' },
    });
    expect(await call('down', 'qubes.VMShell', 'echo up')).toEqual(REFUSED);
  });

  it('arguments that are too long to be sent', async () => {
    policy('* * * * allow');
    expect(await call('up', `a.B+${'x'.repeat(4000)}`)).toEqual(REFUSED);
  });

  it('a redirect to the caller under its other name', async () => {
    policy(`a.B * caller up allow target=uuid:${host.qube('caller')!.uuid}`);
    expect(await call('up', 'a.B')).toEqual(REFUSED);
  });
});

describe('a service of a qube', () => {
  it('a service of a qube returns its output, its errors and its exit code', async () => {
    policy('qubes.VMShell * caller up allow');
    expect(await call('up', 'qubes.VMShell', 'echo out; echo err >&2; exit 7')).toEqual({
      exit: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('a service that a qube does not have exits with 127 and prints nothing', async () => {
    policy('a.B * caller up allow');
    expect(await call('up', 'a.B')).toEqual({ exit: 127, stdout: '', stderr: '' });
  });

  it('a call to a service of a halted qube starts the qube, unless the rule forbids it', async () => {
    policy('qubes.VMShell * caller down allow');
    expect((await call('down', 'qubes.VMShell', 'hostname')).stdout).toBe('down\n');
    expect(host.qube('down')?.state).toBe('Running');
  });

  it('a service of a qube runs as the user that the rule names, or as the qube’s own', async () => {
    policy('qubes.VMShell +root caller up allow user=root\nqubes.VMShell * caller up allow');
    expect((await call('up', 'qubes.VMShell', 'whoami')).stdout).toBe('user\n');
    expect((await call('up', 'qubes.VMShell+root', 'whoami')).stdout).toBe('root\n');
  });
});

describe('a disposable', () => {
  it('a disposable exists for one call', async () => {
    policy('qubes.VMShell * caller @dispvm allow');
    const before = host.snapshot().qubes.map(({ name }) => name);
    const { exit, stdout } = await call('@dispvm', 'qubes.VMShell', 'hostname');
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^disp\d+\n$/);
    await host.idle();
    expect(host.snapshot().qubes.map(({ name }) => name)).toEqual(before);
  });

  it('a disposable has the requested template', async () => {
    policy('qubes.VMShell * caller @dispvm:dvm allow\nqubes.VMShell * caller @dispvm deny');
    expect((await call('@dispvm:dvm', 'qubes.VMShell', 'hostname')).exit).toBe(0);
    expect(await call('@dispvm:tpl', 'qubes.VMShell', 'hostname')).toEqual(REFUSED);
  });
});

describe('a service of dom0 behind a socket', () => {
  it('a socket service of dom0 gets the descriptor, then the caller’s bytes, and exits with 0', async () => {
    await socketService('a.B', echo);
    policy('a.B * caller @adminvm allow');
    expect(await call('@adminvm', 'a.B', 'payload')).toEqual({
      exit: 0,
      stdout: 'a.B+ caller keyword adminvm\0payload',
      stderr: '',
    });
  });

  it('a socket service of dom0 gets the requested target when the policy sent the call to dom0', async () => {
    await socketService('a.B', echo);
    policy('a.B * caller @tag:t allow target=@adminvm\na.B * caller @default allow target=@adminvm');
    expect((await call('up', 'a.B+x.y')).stdout).toBe('a.B+x.y caller name up\0');
    expect((await call('nowhere', 'a.B')).stdout).toBe('a.B+ caller keyword default\0');
  });

  it('a socket service of dom0 gets an underscore for each byte that is not allowed', async () => {
    await socketService('a.B_', echo);
    policy('a.B_ * caller @adminvm allow');
    expect((await call('@adminvm', 'a.B!+ä;')).stdout).toBe('a.B_+___ caller keyword adminvm\0');
  });

  it('a socket service of dom0 can do without the descriptor, for all arguments or for one', async () => {
    await socketService('a.B', echo);
    writeFileSync(join(root, 'etc/qubes/rpc-config/a.B+x'), 'skip-service-descriptor=true\n');
    policy('a.B * caller @adminvm allow');
    expect((await call('@adminvm', 'a.B+x', 'payload')).stdout).toBe('payload');
    expect((await call('@adminvm', 'a.B', 'payload')).stdout).toBe('a.B+ caller keyword adminvm\0payload');
  });

  it('a socket service of dom0 is not called while its configuration is invalid', async () => {
    let connections = 0;
    await socketService('a.B', (socket) => {
      connections += 1;
      socket.end();
    });
    writeFileSync(join(root, 'etc/qubes/rpc-config/a.B'), 'skip-service-descriptor = yes\n');
    policy('a.B * caller @adminvm allow');
    expect(await call('@adminvm', 'a.B')).toEqual({ exit: 125, stdout: '', stderr: '' });
    expect(connections).toBe(0);
  });

  it('a socket service of dom0 accepts an argument longer than a file name, but no such service name', async () => {
    await socketService('a.B', echo);
    policy('* * caller @adminvm allow');
    const long = 'x'.repeat(300);
    expect((await call('@adminvm', `a.B+${long}`)).stdout).toBe(`a.B+${long} caller keyword adminvm\0`);
    expect((await call('@adminvm', long)).exit).toBe(125);
  });

  it('a socket service of dom0 gets the uuid that was called', async () => {
    await socketService('a.B', echo);
    policy('a.B * caller up allow target=@adminvm');
    const uuid = `uuid:${host.qube('up')!.uuid}`;
    expect((await call(uuid, 'a.B')).stdout).toBe(`a.B+ caller name ${uuid}\0`);
  });

  it('a socket service of dom0 can be a link to a port of the machine, which may be in the argument', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    symlinkSync('/dev/tcp/127.0.0.1', join(root, 'etc/qubes-rpc/a.B'));
    policy('a.B * caller @adminvm allow');
    expect(await call('@adminvm', `a.B+${port}`, 'payload')).toEqual({
      exit: 0,
      stdout: `a.B+${port} caller keyword adminvm\0payload`,
      stderr: '',
    });
    expect((await call('@adminvm', 'a.B')).exit).toBe(125);
  });

  it('a socket service of dom0 that floods a caller who does not read is held back', async () => {
    let written = 0;
    await socketService('a.B', (socket) => {
      const more = () => {
        while (written < 200_000_000 && socket.writable) {
          written += 65_536;
          if (!socket.write(Buffer.alloc(65_536))) {
            socket.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    executable('a.C', 'true');
    policy('a.B * caller @adminvm allow\na.C * caller @adminvm allow');
    const child = spawn(endpoint.client, ['@adminvm', 'a.B']);
    child.stdin.end();
    await eventually(() => written).toBeGreaterThan(0);
    // If it is held back, it writes nothing while others are served; at full speed, it writes all the time.
    for (let idle = 0; idle < 5 && written < 20_000_000; ) {
      const before = written;
      expect((await call('@adminvm', 'a.C')).exit).toBe(0);
      idle = written === before ? idle + 1 : 0;
    }
    expect(written).toBeLessThan(20_000_000);
    child.kill('SIGKILL');
  });

  it('a socket service of dom0 without a listener exits with 125', async () => {
    await socketService('a.B', echo);
    servers[0]!.close();
    policy('a.B * caller @adminvm allow');
    expect((await call('@adminvm', 'a.B')).exit).not.toBe(0);
  });

  it('a socket service of dom0 carries every byte in both directions', async () => {
    await socketService('a.B', (socket, heard) => socket.end(heard.subarray(heard.indexOf(0) + 1)));
    policy('a.B * caller @adminvm allow');
    const bytes = Buffer.from(Array.from({ length: 500_000 }, (_, index) => index % 256));
    expect((await call('@adminvm', 'a.B', bytes)).stdout).toBe(bytes.toString('latin1'));
  });
});

describe('an executable service of dom0', () => {
  beforeEach(() => policy('a.B * caller * allow target=@adminvm'));

  it('an executable service of dom0 returns its exit code and not its errors', async () => {
    executable('a.B', 'cat; echo secret >&2; exit 9');
    expect(await call('up', 'a.B', 'in')).toEqual({ exit: 9, stdout: 'in', stderr: '' });
  });

  it('an executable service of dom0 that a signal ends exits with 128 and its number', async () => {
    executable('a.B', 'kill -TERM $$');
    expect((await call('up', 'a.B')).exit).toBe(143);
  });

  it('an executable service of dom0 finds the call in its environment', async () => {
    executable(
      'a.B',
      'echo "$QREXEC_SERVICE_FULL_NAME $QREXEC_SERVICE_ARGUMENT $QREXEC_REMOTE_DOMAIN $QREXEC_REQUESTED_TARGET_TYPE $QREXEC_REQUESTED_TARGET$QREXEC_REQUESTED_TARGET_KEYWORD $1"',
    );
    expect((await call('up', 'a.B+x')).stdout).toBe('a.B+x x caller name up x\n');
    expect((await call('@adminvm', 'a.B')).stdout).toBe('a.B+  caller keyword adminvm \n');
  });

  it('an executable service of dom0 is looked for with its argument in every folder first, then without', async () => {
    executable('a.B', 'echo general', 'run/qubes-rpc');
    executable('a.B+x', 'echo particular');
    expect((await call('up', 'a.B+x')).stdout).toBe('particular\n');
    expect((await call('up', 'a.B+y')).stdout).toBe('general\n');
  });

  it('an executable service of dom0 that cannot be executed exits with 125, and a missing one with 127', async () => {
    executable('a.B', 'true', 'etc/qubes-rpc', 0o644);
    expect((await call('up', 'a.B')).exit).toBe(125);
    rmSync(join(root, 'etc/qubes-rpc/a.B'));
    expect((await call('up', 'a.B')).exit).toBe(127);
  });
});

describe('qrexec-client-vm', () => {
  beforeEach(async () => {
    await socketService('a.B', echo);
    policy('a.B * caller @adminvm allow\nqubes.VMShell * caller up allow');
  });
  const heard = 'a.B+ caller keyword adminvm\0';

  it('qrexec-client-vm accepts the options of the real one', async () => {
    for (const options of [
      ['-t', '-T'],
      ['--buffer-size=1024', '--no-filter-escape-chars-stdout'],
      ['--buffer-size', '1024', '--'],
    ])
      expect((await run([...options, '@adminvm', 'a.B'], 'in')).stdout).toBe(`${heard}in`);
    expect((await run(['--prefix-data=before ', '@adminvm', 'a.B'], 'in')).stdout).toBe(`${heard}before in`);
    expect((await run(['-p', 'before ', '@adminvm', 'a.B'], 'in')).stdout).toBe(`${heard}before in`);
  });

  it('qrexec-client-vm makes no call for invalid arguments', async () => {
    for (const words of [[], ['@adminvm'], ['--frob', '@adminvm', 'a.B'], ['-p']]) {
      const { exit, stdout, stderr } = await run(words);
      expect([exit, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(/^usage: /);
    }
    expect(() => log()).toThrow(/ENOENT/);
  });

  it('qrexec-client-vm accepts the old spelling of the keywords', async () => {
    expect((await call('$adminvm', 'a.B')).stdout).toBe(heard);
  });

  it('qrexec-client-vm connects a program to the service, and exits like the program', async () => {
    const { exit, stdout } = await run(
      ['up', 'qubes.VMShell', '/bin/sh', '-c', 'echo "echo out; exit 7"; exec 1>&-; cat >&2; exit 3'],
      'not for the service',
    );
    expect([exit, stdout]).toEqual([3, '']);
  });

  it('qrexec-client-vm does not start the program when the call is refused', async () => {
    const file = join(directory, 'started');
    expect(await run(['down', 'qubes.VMShell', '/usr/bin/touch', file])).toEqual(REFUSED);
    expect(existsSync(file)).toBe(false);
  });
});

describe('ask', () => {
  it('an ask verdict offers the targets to the operator and follows the answer', async () => {
    policy('qubes.VMShell * caller @tag:t ask default_target=up');
    const asked: unknown[] = [];
    qrexec.operator = (question) => {
      asked.push(question);
      return 'up';
    };
    expect((await call('down', 'qubes.VMShell', 'hostname')).stdout).toBe('up\n');
    expect(asked).toEqual([
      {
        source: 'caller',
        service: 'qubes.VMShell',
        argument: '',
        requested: 'down',
        targets: ['down', 'up'],
        preselected: 'up',
      },
    ]);
  });

  it('an ask verdict accepts no target that was not offered', async () => {
    policy('qubes.VMShell * caller up ask');
    qrexec.operator = () => 'down';
    expect(await call('up', 'qubes.VMShell', 'hostname')).toEqual(REFUSED);
  });
});

describe('the daemon', () => {
  it('the qrexec daemon reads the policy again when a file of it changes', async () => {
    policy('qubes.VMShell * caller up deny');
    expect((await call('up', 'qubes.VMShell', 'true')).exit).toBe(126);
    policy('qubes.VMShell * caller up allow');
    expect((await call('up', 'qubes.VMShell', 'true')).exit).toBe(0);
  });

  it('the qrexec daemon writes every verdict into the platform’s log', async () => {
    policy('qubes.VMShell * caller up allow');
    await call('up', 'qubes.VMShell', 'true');
    await call('down', 'qubes.VMShell', 'true');
    expect(log()).toMatch(/qubes\.VMShell\+: caller -> up: allowed to up .*10-test\.policy:1/);
    expect(log()).toMatch(/qubes\.VMShell\+: caller -> down: denied: no rule matches/);
  });

  it('the qrexec daemon closes the pipes of a service whose caller was killed, and does not kill it', async () => {
    executable('a.B', `cat > ${join(directory, 'heard')}; echo over > ${join(directory, 'over')}`);
    policy('a.B * caller @adminvm allow');
    const child = spawn(endpoint.client, ['@adminvm', 'a.B']);
    child.stdin.write('some');
    const heard = () => {
      try {
        return readFileSync(join(directory, 'heard'), 'utf8');
      } catch {
        return '';
      }
    };
    await eventually(heard).toBe('some');
    child.kill('SIGKILL');
    await eventually(() => readFileSync(join(directory, 'over'), 'utf8')).toBe('over\n');
  });
});
