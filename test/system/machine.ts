/**
 * A machine with systemd, in a container: a Debian root, the files of a dom0 that qmcp needs, and the simulated qubesd as a
 * service. Everything it writes goes to a layer of its own, which is deleted afterwards.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { packageFile, packageRoot } from '../../sim/root.js';
import { type ProcessResult, run } from '../../testing/run.js';
import { until } from '../support/waiting.js';

const HERE = '/opt/qmcp-checkout';
const NODE = '/opt/node';

/** The simulated qubesd. Its other sockets, and that of the policy daemon, only accept a connection. */
const QUBESD = `
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { serveAdminApi } from '${HERE}/dist/sim/adminapi/server.js';
import { Host, loadHostSpec } from '${HERE}/dist/sim/index.js';
mkdirSync('/run/qubes', { recursive: true });
for (const path of ['/run/qubesd.internal.sock', '/run/qubesd.misc.sock', '/run/qubes/policy.sock']) {
  rmSync(path, { force: true });
  createServer(() => {}).listen(path, () => chmodSync(path, 0o777));
}
await serveAdminApi(Host.load(loadHostSpec('demo')), '/run/qubesd.sock', { mode: 0o770 });
`;

const QUBESD_UNIT = `
[Unit]
Description=Simulated qubesd

[Service]
Group=qubes
ExecStart=${NODE} /opt/qubesd.mjs
ExecStartPost=/bin/sh -c 'until [ -S /run/qubes/policy.sock ] && [ -S /run/qubesd.sock ]; do sleep 0.02; done'
Restart=on-failure
RestartSec=0

[Install]
WantedBy=multi-user.target
`;

/** Only there so that it runs: what decides in these tests is qmcpd. */
const POLICY_DAEMON_UNIT = `
[Service]
ExecStart=/usr/bin/tail -f /dev/null

[Install]
WantedBy=multi-user.target
`;

/** Calls qmcpd's socket as qrexec does: \`call SERVICE TARGET PAYLOAD\`. */
const CALL = `#!/usr/bin/python3 -B
import socket, sys
service, target, payload = sys.argv[1:]
kind = "keyword adminvm" if target == "dom0" else f"name {target}"
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect("/run/qmcp/qmcpd.sock")
    peer.sendall(f"{service}+ mcp-control {kind}\\0{payload}".encode())
    peer.shutdown(socket.SHUT_WR)
    print(peer.makefile().read(), end="")
`;

export class Machine {
  private readonly folder = mkdtempSync(join(tmpdir(), 'qmcp-system-'));
  /** Its files, seen from here. */
  readonly root = join(this.folder, 'root');
  private container: ChildProcess | undefined;
  private init = 0;
  private said = '';

  /** A new machine that was not started yet, on top of this root. */
  static async create(base: string): Promise<Machine> {
    const machine = new Machine();
    for (const name of ['upper', 'work', 'root']) mkdirSync(join(machine.folder, name));
    const layers = `lowerdir=${base},upperdir=${join(machine.folder, 'upper')},workdir=${join(machine.folder, 'work')}`;
    const mounted = await run('mount', ['-t', 'overlay', 'overlay', '-o', layers, machine.root]);
    if (mounted.code !== 0) throw new Error(mounted.err);
    machine.prepare();
    return machine;
  }

  private prepare(): void {
    appendFileSync(join(this.root, 'etc/group'), 'qubes:x:98:\n');
    appendFileSync(join(this.root, 'etc/gshadow'), 'qubes:!::\n');
    for (const path of ['etc/qubes/policy.d', 'etc/qubes-rpc', HERE.slice(1)])
      mkdirSync(join(this.root, path), { recursive: true });
    copyFileSync(
      packageFile('sim/policy/90-default.policy'),
      join(this.root, 'etc/qubes/policy.d/90-default.policy'),
    );
    this.write(NODE, '');
    this.write('opt/qubesd.mjs', QUBESD);
    this.write('etc/systemd/system/qubesd.service', QUBESD_UNIT);
    this.write('etc/systemd/system/qubes-qrexec-policy-daemon.service', POLICY_DAEMON_UNIT);
    this.write('usr/local/bin/call', CALL);
    chmodSync(join(this.root, 'usr/local/bin/call'), 0o755);
  }

  write(path: string, data: string | Buffer): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), data);
  }

  /** Resolves when systemd has started everything that it starts at boot. */
  async boot(): Promise<void> {
    this.said = '';
    this.container = spawn('systemd-nspawn', [
      ...['--quiet', '--register=no', '--keep-unit', '--private-network', '--console=pipe', '--boot'],
      ...[`--directory=${this.root}`, `--bind-ro=${process.execPath}:${NODE}`],
      `--bind-ro=${packageRoot()}:${HERE}`,
      'systemd.log_target=console',
    ]);
    for (const stream of [this.container.stdout!, this.container.stderr!])
      stream.on('data', (chunk: Buffer) => {
        this.said += chunk.toString();
      });
    const booted = async () => {
      if (!this.runs()) throw new Error(`the container does not boot: ${this.said}`);
      this.init = this.findInit();
      const { out } = this.init ? await this.run('systemctl', 'is-system-running') : { out: '' };
      return /^(running|degraded)$/m.test(out);
    };
    await until(booted, () => `the boot: ${this.said}`);
  }

  private runs(): boolean {
    return (
      this.container !== undefined && this.container.exitCode === null && this.container.signalCode === null
    );
  }

  /** The container's process 1, as this machine numbers it; 0 before systemd runs there. */
  private findInit(): number {
    const { pid } = this.container!;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    return children.find((each) => each > 0 && nameOf(each) === 'systemd') ?? 0;
  }

  /** Runs a command in the machine, as root. */
  run(...words: string[]): Promise<ProcessResult> {
    return run('nsenter', [
      ...['-t', String(this.init), '-m', '-u', '-i', '-n', '-p', '-C'],
      ...['env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', 'LANG=C.UTF-8', ...words],
    ]);
  }

  /** The output of a shell command that succeeds. */
  async sh(script: string): Promise<string> {
    const { code, out, err } = await this.run('sh', '-euc', script);
    if (code !== 0) throw new Error(`${script}: ${code}\n${out}${err}`);
    return out;
  }

  /** The code of the answer to an agent's call: `ok`, that of a refusal, or `closed`. */
  async call(service: string, target = 'dom0', payload: object = {}): Promise<string> {
    const { out } = await this.run('call', service, target, JSON.stringify(payload));
    if (out === '') return 'closed';
    const reply = JSON.parse(out.split('\n')[0]!) as { ok: boolean; error?: { code: string } };
    return reply.ok ? 'ok' : reply.error!.code;
  }

  property(unit: string, name: string): Promise<string> {
    return this.sh(`systemctl show --value -p ${name} ${unit}`).then((text) => text.trim());
  }

  /** An orderly shutdown, and a boot. */
  async reboot(): Promise<void> {
    const over = once(this.container!, 'exit');
    await this.run('systemctl', 'poweroff');
    await over;
    await this.boot();
  }

  /** Every process ends at once; nothing is unmounted or stopped first. */
  async powerCut(): Promise<void> {
    const over = once(this.container!, 'exit');
    process.kill(this.init, 'SIGKILL');
    await over;
  }

  async remove(): Promise<void> {
    if (this.runs()) await this.powerCut();
    await run('umount', [this.root]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
