import { describe, expect, it } from 'vitest';
import { FOREVER } from '../../test/support/waiting.js';
import { MemoryEngine } from './memory.js';

const TEMPLATES: Record<string, string> = { app: 'tpl', other: 'tpl', dvm: 'tpl', disp1: 'dvm' };
const CLASSES: Record<string, string> = {
  tpl: 'TemplateVM',
  alone: 'StandaloneVM',
  disp1: 'DispVM',
  disp2: 'DispVM',
};

const engine = () => new MemoryEngine(undefined, (name) => TEMPLATES[name] ?? null);
const qube = (name: string) => ({
  name,
  template: name.startsWith('disp') ? 'dvm' : (TEMPLATES[name] ?? null),
  class: CLASSES[name] ?? 'AppVM',
});

/** Starts a qube, runs a line as root, and stops it. */
async function runOnce(engine: MemoryEngine, name: string, command: string): Promise<string> {
  const guest = await engine.start(qube(name));
  const { stdout } = await guest.run({ command, user: 'root' });
  await guest.stop();
  return Buffer.from(stdout).toString('utf8');
}

describe('the files of a qube', () => {
  it('a qube’s files in /home and /rw are there when it starts again', async () => {
    const host = engine();
    await runOnce(host, 'app', 'echo a > /home/user/f; mkdir -p /rw/config; echo b > /rw/config/f');
    expect(await runOnce(host, 'app', 'cat /home/user/f /rw/config/f')).toBe('a\nb\n');
  });

  it('a qube’s files in its root are gone after a restart, unless it has its own root', async () => {
    const host = engine();
    for (const name of ['app', 'alone']) await runOnce(host, name, 'echo a > /etc/f');
    expect(await runOnce(host, 'app', 'cat /etc/f 2>/dev/null')).toBe('');
    expect(await runOnce(host, 'alone', 'cat /etc/f')).toBe('a\n');
  });

  it('a template’s files in its root are those with which its qubes start, and these do not change them', async () => {
    const host = engine();
    await runOnce(host, 'tpl', 'mkdir -p /usr/share; echo installed > /usr/share/f');
    expect(await runOnce(host, 'app', 'cat /usr/share/f; echo mine > /usr/share/f')).toBe('installed\n');
    expect(await runOnce(host, 'other', 'cat /usr/share/f')).toBe('installed\n');
  });

  it('a qube’s files are in no other qube', async () => {
    const host = engine();
    await runOnce(host, 'app', 'echo a > /home/user/f');
    expect(await runOnce(host, 'other', 'cat /home/user/f 2>/dev/null')).toBe('');
  });

  it('a removed qube’s files are gone', async () => {
    const host = engine();
    await runOnce(host, 'app', 'echo a > /home/user/f');
    host.forget('app');
    expect(await runOnce(host, 'app', 'cat /home/user/f 2>/dev/null')).toBe('');
  });

  it('a disposable starts on a copy of its template’s private volume and does not change it', async () => {
    const host = engine();
    await runOnce(host, 'dvm', 'echo base > /home/user/f');
    expect(await runOnce(host, 'disp1', 'cat /home/user/f; echo changed > /home/user/f')).toBe('base\n');
    expect(await runOnce(host, 'disp2', 'cat /home/user/f')).toBe('base\n');
  });

  it('a qube’s files are copied when its volume is cloned', async () => {
    const host = engine();
    await runOnce(host, 'app', 'echo a > /home/user/f');
    await host.import({ qube: 'other', volume: 'private' }, { qube: 'app', volume: 'private' });
    await runOnce(host, 'app', 'echo later > /home/user/f');
    expect(await runOnce(host, 'other', 'cat /home/user/f')).toBe('a\n');
  });
});

it('a qube that stops ends what runs in it', async () => {
  const guest = await engine().start(qube('app'));
  const running = guest.run({ command: `${FOREVER}; echo late`, user: 'user' });
  await guest.stop();
  expect(await running).toMatchObject({ aborted: true });
});
