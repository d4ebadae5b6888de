import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { configure, Harness, roomy } from '../support/harness.js';
import { holdFirst } from '../support/interference.js';
import { Listener } from '../support/listener.js';
import { timeless } from '../support/timeless.js';
import { eventually } from '../support/waiting.js';

// However long a test takes, its minute and its hour do not end.
beforeAll(() => {
  timeless();
});

let harness: Harness;
const take = async (limits: Record<string, number>) => {
  harness = await Harness.start({
    prepare: (root) => {
      roomy(root);
      configure(root, { ...limits });
    },
  });
};
afterEach(() => harness.close());

const GIB = 2 ** 30;
const spawn = (name: string, more: object = {}) =>
  harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', ...more });
/** The budget as the agent gets it: `{ qubes: { used, limit, left }, … }`. */
async function budget(): Promise<Record<string, { used: number; limit: number; left: number }>> {
  const { result } = await harness.ask('@adminvm', 'qmcp.storage.Budget');
  return Object.fromEntries(result.lines.map(({ line, ...numbers }: { line: string }) => [line, numbers]));
}
const made = () => harness.sim.host.snapshot().qubes.filter(({ name }) => /^ai-n|^disp/.test(name));
const running = () => made().filter(({ state }) => state === 'Running');

// ATTACK 9
// INVARIANT budget.hard
// INVARIANT budget.numbers-private
describe('a budget', () => {
  it('the budget of qubes holds whatever is made and removed, because removed qubes still count', async () => {
    await take({ qubes: 3 });
    const codes: string[] = [];
    for (let at = 0; at < 8; at++) {
      codes.push((await spawn(`ai-n${at}`)).code);
      await harness.ask(`ai-n${at}`, 'qmcp.spawn.Remove');
    }
    expect(codes).toEqual(['ok', 'ok', 'ok', ...Array(5).fill('over-budget')]);
    expect(made()).toHaveLength(3);
    expect((await budget()).qubes).toEqual({ used: 3, limit: 3, left: 0 });
  });

  it('a budget holds when 32 qubes are made at once', async () => {
    await take({ qubes: 4, concurrent_calls: 32 });
    const codes = (await Promise.all(Array.from({ length: 32 }, (_, at) => spawn(`ai-n${at}`)))).map(
      ({ code }) => code,
    );
    expect(codes.filter((code) => code === 'ok')).toHaveLength(4);
    expect(new Set(codes)).toEqual(new Set(['ok', 'over-budget']));
    expect(made()).toHaveLength(4);
  });

  it('the budget of running qubes holds when all are started at once', async () => {
    await take({ running: 3, concurrent_calls: 32 });
    for (let at = 0; at < 8; at++) await spawn(`ai-n${at}`);
    const codes = await Promise.all(
      Array.from({ length: 8 }, (_, at) => harness.ask(`ai-n${at}`, 'qmcp.spawn.Start')),
    );
    expect(codes.filter(({ code }) => code === 'ok')).toHaveLength(3);
    expect(running()).toHaveLength(3);
    await harness.ask(running()[0]!.name, 'qmcp.spawn.Kill');
    const idle = made().find(({ state }) => state === 'Halted')!;
    expect((await harness.ask(idle.name, 'qmcp.spawn.Start')).code).toBe('ok');
  });

  it('the budget of disposables holds when many are requested at once', async () => {
    await take({ qubes: 4, concurrent_calls: 32 });
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    const all = await Promise.all(
      Array.from({ length: 12 }, () =>
        harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' }),
      ),
    );
    expect(all.filter(({ code }) => code === 'ok')).toHaveLength(3);
    expect(made().filter((qube) => qube.class === 'DispVM')).toHaveLength(3);
  });

  it('the budgets of memory and vcpus count the maximum that a qube may grow to, in disposables too', async () => {
    await take({ memory: 9000, vcpus: 8 });
    await spawn('ai-n1', { memory: 4000, vcpus: 4 });
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    await harness.operator('admin.vm.property.Set', 'ai-dvm', 'maxmem', '6000');
    expect((await harness.ask('ai-n1', 'qmcp.spawn.Start')).code).toBe('ok');
    const before = harness.truth();
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' })).code).toBe(
      'over-budget',
    );
    expect(harness.truth()).toBe(before);
    await harness.ask('ai-n1', 'qmcp.spawn.Shutdown');
    expect((await harness.ask('ai-n1', 'qmcp.inspect.Set', { vcpus: 9 })).code).toBe('ok');
    expect((await harness.ask('ai-n1', 'qmcp.spawn.Start')).code).toBe('over-budget');
  });

  it('the budget of memory cannot be evaded by giving a running qube or its template less', async () => {
    await take({ memory: 9000, vcpus: 8 });
    // The operator shares a template with large qubes, and a template for disposables.
    for (const tag of ['ai-exec', 'ai-net', 'ai-full'])
      await harness.operator('admin.vm.tag.Set', 'ai-debian', tag);
    for (const key of ['memory', 'maxmem'])
      await harness.operator('admin.vm.property.Set', 'ai-debian', key, '4000');
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    for (const name of ['ai-n1', 'ai-n2', 'ai-n3']) await spawn(name);
    for (const name of ['ai-n1', 'ai-n2'])
      expect((await harness.ask(name, 'qmcp.spawn.Start')).code).toBe('ok');
    const before = harness.truth();
    const set = async (name: string, values: object) =>
      (await harness.ask(name, 'qmcp.inspect.Set', values)).code;
    for (const values of [{ memory: 400 }, { maxmem: 400 }, { vcpus: 1 }, { label: 'blue', memory: 400 }]) {
      expect(await set('ai-n1', values)).toBe('conflict');
      expect(await set('ai-debian', values)).toBe('not-permitted');
      expect(await set('ai-dvm', values)).toBe('not-permitted');
    }
    expect(harness.truth()).toBe(before);
    expect(await set('ai-n1', { label: 'blue' })).toBe('ok');
    expect((await harness.ask('ai-n3', 'qmcp.spawn.Start')).code).toBe('over-budget');
  });

  it('the budget of memory counts the most that a running qube has had, although its template now says less', async () => {
    await take({ memory: 9000, vcpus: 80 });
    for (const key of ['memory', 'maxmem'])
      await harness.operator('admin.vm.property.Set', 'ai-debian', key, '4000');
    for (const name of ['ai-n1', 'ai-n2', 'ai-n3']) await spawn(name);
    for (const name of ['ai-n1', 'ai-n2'])
      expect((await harness.ask(name, 'qmcp.spawn.Start')).code).toBe('ok');
    // qubesd does this when a template reports by qubes.NotifyTools that it is another system.
    await harness.operator('admin.vm.property.Set', 'ai-debian', 'maxmem', '0');
    await harness.operator('admin.vm.property.Set', 'ai-debian', 'memory', '400');
    expect((await budget()).memory!.used).toBe(8000);
    await harness.operator('admin.vm.property.Set', 'ai-n3', 'memory', '2000');
    expect((await harness.ask('ai-n3', 'qmcp.spawn.Start')).code).toBe('over-budget');
    await harness.ask('ai-n1', 'qmcp.spawn.Shutdown');
    expect((await budget()).memory!.used).toBe(4000);
    expect((await harness.ask('ai-n3', 'qmcp.spawn.Start')).code).toBe('ok');
  });

  it('the budget of disk does not grow by granted disks or by disposables, which it does not count', async () => {
    await take({ disk: 9 * GIB, private_size: 9 * GIB });
    for (const tag of ['ai-managed', 'ai-full']) await harness.operator('admin.vm.tag.Set', 'work', tag);
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    const { result } = await harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' });
    for (const name of ['work', result.name])
      expect((await harness.ask(name, 'qmcp.storage.Grow', { size: 3 * GIB })).code).toBe('not-permitted');
  });

  it('the budget of disk counts clones, growth and removed qubes, and one volume has its own limit', async () => {
    await take({ disk: 10 * GIB, private_size: 4 * GIB });
    expect((await spawn('ai-n1', { private_size: 5 * GIB })).code).toBe('over-budget');
    expect((await spawn('ai-n1', { private_size: 4 * GIB })).code).toBe('ok');
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Clone', { source: 'ai-n1', name: 'ai-n2' })).code).toBe(
      'ok',
    );
    await harness.ask('ai-n2', 'qmcp.spawn.Remove');
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Clone', { source: 'ai-n1', name: 'ai-n3' })).code).toBe(
      'over-budget',
    );
    expect((await spawn('ai-n3')).code).toBe('ok');
    expect((await harness.ask('ai-n3', 'qmcp.storage.Grow', { size: 2 * GIB + 1 })).code).toBe('over-budget');
    expect((await budget()).disk).toEqual({ used: 10 * GIB, limit: 10 * GIB, left: 0 });
  });

  it('a refusal for the budget contains no number', async () => {
    await take({ qubes: 0 });
    expect(
      (await harness.call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-n1', template: 'ai-debian' })).stdout,
    ).toBe('{"error":{"code":"over-budget"},"ok":false}\n');
  });

  it('the budget tool predicts exactly what is refused', async () => {
    await take({ qubes: 5, running: 2, disk: 9 * GIB });
    for (let at = 0; at < 8; at++) {
      const { qubes, disk } = await budget();
      const fits = qubes!.left >= 1 && disk!.left >= 2 * GIB;
      expect((await spawn(`ai-n${at}`)).code).toBe(fits ? 'ok' : 'over-budget');
      if (!fits) break;
      const room = (await budget()).running!.left >= 1;
      expect((await harness.ask(`ai-n${at}`, 'qmcp.spawn.Start')).code).toBe(room ? 'ok' : 'over-budget');
    }
    expect(made()).toHaveLength(4);
  });

  it('a budget that is already exceeded forbids only what would take more of it', async () => {
    await take({ running: 1 });
    await spawn('ai-n1');
    await spawn('ai-n2');
    for (const name of ['ai-n1', 'ai-n2']) await harness.operator('admin.vm.Start', name);
    expect((await harness.ask('ai-n2', 'qmcp.inspect.Set', { label: 'blue' })).code).toBe('ok');
    expect((await spawn('ai-n3')).code).toBe('ok');
    expect((await harness.ask('ai-n3', 'qmcp.spawn.Start')).code).toBe('over-budget');
  });

  it('the budget of creates in an hour counts every kind of birth', async () => {
    await take({ creates_per_hour: 3 });
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    await harness.ask('@adminvm', 'qmcp.spawn.Clone', { source: 'ai-dvm', name: 'ai-n1' });
    await harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' });
    const before = harness.truth();
    expect((await spawn('ai-n2')).code).toBe('rate-limited');
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' })).code).toBe(
      'rate-limited',
    );
    expect(harness.truth()).toBe(before);
  });

  it('the limit of calls at once refuses every further call until one of them ends', async () => {
    await take({ concurrent_calls: 2 });
    await spawn('ai-n1');
    await spawn('ai-n2');
    const held = holdFirst(harness, 'admin.vm.Start');
    const first = harness.ask('ai-n1', 'qmcp.spawn.Start');
    await held.arrived;
    const listener = await Listener.of(harness);
    expect((await harness.ask('@adminvm', 'qmcp.inspect.List')).code).toBe('busy');
    expect((await harness.ask('ai-n2', 'qmcp.spawn.Kill')).code).toBe('busy');
    await listener.leave();
    await harness.operator('admin.vm.property.Set', 'ai-debian', 'label', 'orange');
    await eventually(async () => (await harness.ask('@adminvm', 'qmcp.inspect.List')).code).toBe('ok');
    held.release();
    expect((await first).code).toBe('ok');
  });

  it('the limit of calls in a minute counts reads and refused calls too', async () => {
    await take({ calls_per_minute: 20 });
    const codes: string[] = [];
    for (let at = 0; at < 25; at++) codes.push((await harness.ask('@adminvm', 'qmcp.inspect.List')).code);
    expect(codes.filter((code) => code === 'ok')).toHaveLength(19); // one was made when the harness was taken
    expect(codes.slice(19)).toEqual(Array(6).fill('rate-limited'));
    expect(
      (await harness.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-n1', template: 'ai-debian' })).code,
    ).toBe('rate-limited');
  });

  it('the limit of calls in a minute counts malformed calls too, so that a flood of calls is no flood of audit lines', async () => {
    await take({ calls_per_minute: 20 });
    const before = harness.audit().length;
    const frozen = `${harness.sim.root}/var/lib/qmcp/frozen`;
    mkdirSync(frozen, { recursive: true });
    for (const freeze of [false, true]) {
      if (freeze) writeFileSync(`${frozen}/ai`, '');
      for (let at = 0; at < 100; at++) await harness.direct('qmcp.nothing.Here', 'ai-debian', { at });
    }
    const refusals = harness.audit().slice(before);
    // One line for each accepted call, and one for all others in a row.
    expect(refusals).toHaveLength(20);
    expect(refusals.filter(({ code }) => code === 'rate-limited')).toHaveLength(1);
  });
});

describe('the audit log', () => {
  it('the audit log has the first of consecutive rejections, also right after a birth over the budget', async () => {
    await take({ calls_per_minute: 3, creates_per_hour: 0 });
    const before = harness.audit().length;
    for (let at = 0; at < 6; at++) await spawn('ai-n1');
    const said = harness.audit().slice(before);
    const refusals = said.filter(({ kind }) => kind === 'refusal').map(({ code }) => code);
    expect(refusals).toEqual(['rate-limited']);
    expect(said.filter(({ kind }) => kind === 'outcome').map(({ code }) => code)).toEqual([
      'rate-limited',
      'rate-limited',
    ]);
  });
});

// ATTACK 10
describe('a size or a count', () => {
  for (const value of ['1.5', 'true', '-1', '1e30', '"10"', '9223372036854775808', 'NaN', 'null', '[1]', '0'])
    it(`the size or count ${value} is refused by its shape, and no qube is made`, async () => {
      await take({});
      const before = harness.truth();
      for (const key of ['memory', 'vcpus', 'private_size'])
        expect(
          JSON.parse(
            await harness.direct(
              'qmcp.spawn.Create',
              '@adminvm',
              `{"name":"ai-n1","template":"ai-debian","${key}":${value}}`,
            ),
          ).error.code,
        ).toBe('invalid-request');
      expect(harness.truth()).toBe(before);
    });
});
