import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qmcp } from '../test/support/qmcp.js';
import { BadWords, COMMANDS, carryOut, help } from './control.js';
import { type SimHost, startHost } from './index.js';

let dir: string;
let sim: SimHost;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
  sim = await startHost({ spec: 'demo', dir });
});
afterAll(async () => {
  await sim.close();
  rmSync(dir, { recursive: true, force: true });
});

const does = (...words: string[]) => carryOut(sim, words);
const state = (name: string) => sim.host.qube(name)!.state;

describe('the operator’s commands on a simulated host', () => {
  it('the operator can change tags, properties, features and firewalls', async () => {
    expect(await does('tag', 'work', '+ai-managed', '+x')).toEqual(
      expect.arrayContaining(['ai-managed', 'x']),
    );
    expect(await does('tag', 'work', '-ai-managed', '-x')).not.toContain('x');
    await does('prefs', 'work', 'memory', '555');
    expect(await does('prefs', 'work', 'memory')).toEqual(['default=False type=int 555']);
    expect(await does('prefs', 'work')).toContainEqual(expect.stringMatching(/^memory .* 555$/));
    expect(await does('feature', 'work', 'f', 'on')).toEqual(['on']);
    expect(await does('firewall', 'work', 'action=accept proto=tcp', 'action=drop')).toEqual([
      'action=accept proto=tcp',
      'action=drop',
    ]);
  });

  it('the operator can start, stop, crash and remove qubes', async () => {
    await does('power', 'start', 'vault');
    expect(state('vault')).toBe('Running');
    await does('crash', 'vault');
    expect(state('vault')).toBe('Halted');
    await does('power', 'start', 'vault');
    await does('power', 'kill', 'vault');
    expect(state('vault')).toBe('Halted');
  });

  it('the operator can plug devices in and remove them', async () => {
    const available = async () =>
      Buffer.from(
        await sim.host.call(Buffer.from('admin.vm.device.block.Available+ dom0 name sys-net\0')),
      ).toString();
    await does('plug', 'sys-net', 'block', 'sdq', 'Stick');
    expect(await available()).toContain("name='Stick'");
    await does('unplug', 'sys-net', 'sdq');
    expect(await available()).not.toContain('sdq');
  });

  it('the operator can make calls fail for a given number of times', async () => {
    await does('fault', 'admin.vm.Start', 'dest=vault', 'count=1', 'error=QubesMemoryError:no memory');
    await expect(async () => does('power', 'start', 'vault')).rejects.toThrow('QubesMemoryError: no memory');
    await does('power', 'start', 'vault');
    await does('power', 'kill', 'vault');
    await does('fail-start', 'vault', 'qrexec');
    await expect(async () => does('power', 'start', 'vault')).rejects.toThrow(/Cannot connect to qrexec/);
    await does('faults-clear');
  });
});

describe('invalid commands of the operator', () => {
  for (const words of [
    [],
    ['bogus'],
    ['tag', 'nowhere', '+x'],
    ['tag', 'work', 'x'],
    ['power', 'explode', 'work'],
    ['plug', 'sys-net', 'printer', 'p'],
    ['unplug', 'sys-net', 'sdz'],
    ['fault', 'start'],
    ['fault', 'admin.vm.Start', 'count=some'],
    ['fault', 'admin.vm.Start', 'drop=maybe'],
    ['fail-start', 'work', 'luck'],
    ['prefs', 'work', 'no_such_property', 'x'],
  ])
    it(`an invalid command changes nothing, and the message says what is valid: ${words.join(' ') || '(none)'}`, async () => {
      const before = JSON.stringify(sim.host.snapshot());
      await expect(async () => does(...words)).rejects.toThrow(BadWords);
      expect(JSON.stringify(sim.host.snapshot())).toBe(before);
    });
});

describe('qmcp sim ctl', () => {
  it('qmcp sim ctl finds a running host by its directory', async () => {
    const shown = await qmcp(['sim', 'ctl', '--dir', dir, 'list'], { cwd: dir });
    expect(shown.code).toBe(0);
    expect(shown.stdout).toMatch(/^name +class +state +network +tags\n/);
    expect(shown.stdout).toMatch(/^vault +AppVM +Halted/m);
    expect((await qmcp(['sim', 'ctl', '--dir', dir, 'tag', 'work', '+y', '-y'], { cwd: dir })).code).toBe(0);
  });

  it('qmcp sim ctl lists its commands, and explains an error', async () => {
    expect((await qmcp(['sim', 'ctl', '--dir', dir], { cwd: dir })).stdout).toBe(`${help().join('\n')}\n`);
    expect(help()).toHaveLength(Object.keys(COMMANDS).length);
    const wrong = await qmcp(['sim', 'ctl', '--dir', dir, 'bogus'], { cwd: dir });
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      expect.stringContaining('bogus: the commands are help, list, tag'),
    ]);
    const nobody = await qmcp(['sim', 'ctl', '--dir', '/nowhere', 'list'], { cwd: dir });
    expect([nobody.code, nobody.stderr]).toEqual([
      1,
      expect.stringContaining('start one with qmcp sim --dir'),
    ]);
  });
});
