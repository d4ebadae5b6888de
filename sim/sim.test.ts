import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SimHost, startHost } from './index.js';

let dir: string;
let sim: SimHost;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
  sim = await startHost({ spec: 'demo', dir });
  writeFileSync(
    join(sim.root, 'etc/qubes/policy.d/10-test.policy'),
    'qubes.VMShell * personal @anyvm allow\nqubes.Filecopy * work personal allow\n',
  );
});
afterAll(async () => {
  await sim.close();
  rmSync(dir, { recursive: true, force: true });
});

/** A line that runs inside `work`, called by its neighbour. */
async function inWork(line: string) {
  const { exit, stdout, stderr } = await sim.call('personal', 'work', 'qubes.VMShell', Buffer.from(line));
  return { exit, out: Buffer.from(stdout).toString('utf8'), err: Buffer.from(stderr).toString('utf8') };
}
const admin = async (method: string, dest: string, argument = '', payload = '') => {
  const reply = await sim.host.call(Buffer.from(`${method}+${argument} dom0 name ${dest}\0${payload}`));
  expect(Buffer.from(reply).subarray(0, 2).toString()).toBe('0\0');
};

describe('a simulated host', () => {
  it('a simulated host has in its directory the files that other programs use', async () => {
    for (const name of ['qubesd.sock', 'qmcpd.sock']) expect(existsSync(join(dir, name))).toBe(true);
    expect(existsSync(await sim.client('mcp-control'))).toBe(true);
  });

  it('files are copied between qubes in the platform’s own stream, where the policy allows it', async () => {
    const { exit, err } = await inWork(
      'mkdir -p d/e; printf "x\\0y" > d/e/f; echo top > t; qvm-copy-to-vm personal d t',
    );
    expect([exit, err]).toEqual([0, '']);
    writeFileSync(
      join(sim.root, 'etc/qubes/policy.d/11-test.policy'),
      'qubes.VMShell * work personal allow\n',
    );
    const listed = await inWork(
      "echo 'cat QubesIncoming/work/t; od -An QubesIncoming/work/d/e/f' | qrexec-client-vm personal qubes.VMShell",
    );
    expect(listed.out).toMatch(/^top\n\s*170 000 171\s*$/);
  });

  it('files are not copied where the policy denies it, and the message is qrexec’s', async () => {
    expect(await inWork('echo x > x; qvm-copy-to-vm vault x')).toEqual({
      exit: 126,
      out: '',
      err: 'Request refused\n',
    });
  });

  it('a copy does not overwrite an earlier one', async () => {
    expect((await inWork('echo again > t; qvm-copy-to-vm personal t')).err).toContain('errno 17');
  });

  it('a guest’s curl reaches what its netvm chain and firewall allow', async () => {
    const { out } = await inWork('curl -s http://example.com/page');
    expect(out).toBe('example.com says hello from /page\n');
    expect(sim.reach('work', { host: 'example.com', port: 80, protocol: 'tcp' }).reached).toBe(true);

    await admin(
      'admin.vm.firewall.Set',
      'work',
      '',
      'action=accept specialtarget=dns\naction=accept dsthost=a.org\naction=drop\n',
    );
    const blocked = await inWork('curl -sS http://example.com/');
    expect(blocked.exit).not.toBe(0);
    expect(blocked.err).toContain('timed out');
    expect((await inWork('curl -s http://a.org/')).out).toBe('a.org says hello from /\n');

    await admin('admin.vm.property.Set', 'work', 'netvm');
    expect((await inWork('curl -sS http://a.org/')).err).toContain('unreachable');
  });
});
