import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadHostSpec } from '../../sim/index.js';
import { configure, Harness, roomy } from '../support/harness.js';
import { Listener } from '../support/listener.js';
import { timeless } from '../support/timeless.js';

beforeAll(() => {
  timeless();
});

let harness: Harness;
afterEach(() => harness.close());

/** The requests that qmcpd sends to qubesd from now on: the method and the qube of each. */
function requestsTo(): string[] {
  const { host } = harness.sim;
  const requests: string[] = [];
  const original = host.call.bind(host);
  host.call = (request) => {
    const [method, , , dest] = Buffer.from(request).toString('latin1').split('\0')[0]!.split(' ');
    requests.push(`${method!.replace(/\+.*/, '')} ${dest}`);
    return original(request);
  };
  return requests;
}

/** The demo host, with more qubes in the world. */
function withMany(count: number) {
  const demo = loadHostSpec('demo');
  const one = { class: 'AppVM', label: 'red', template: 'ai-debian', tags: ['ai-managed', 'ai-full'] };
  const more = Array.from({ length: count }, (_, at) => ({ ...one, name: `ai-n${at}` }));
  return { ...demo, qubes: [...demo.qubes, ...more] } as typeof demo;
}

// INVARIANT budget.hard
describe('the time of qubesd', () => {
  it('an event that no agent is told of costs qubesd no call, however many watch', async () => {
    harness = await Harness.start();
    const listeners = [await Listener.of(harness), await Listener.of(harness), await Listener.of(harness)];
    const { host } = harness.sim;
    const set = (feature: string) =>
      host.call(Buffer.from(`admin.vm.feature.Set+${feature} dom0 name ai-debian\0value`));
    const requests = requestsTo();
    for (let at = 0; at < 50; at++) await set(`x-${at}`);
    for (const listener of listeners) await listener.caughtUp();
    const looks = requests.filter((one) => !/feature\.Set|property\.Set/.test(one));
    // Each of the three tells of the three changes of the marker, which they wait for.
    expect(looks.length).toBeLessThanOrEqual(2 * 3 * 3);
    for (const listener of listeners) expect(listener.heard()).toEqual([]);
  });

  it('a call that asks much of qubesd counts as several calls, so that the rate bounds what a world takes of its time', async () => {
    harness = await Harness.start({
      spec: withMany(40),
      prepare: (root) => {
        roomy(root);
        configure(root, { calls_per_minute: 40 });
      },
    });
    for (const [service, most] of [
      ['qmcp.storage.Budget', 40 * 16 + 250],
      ['qmcp.inspect.List', 40 * 16 + 250],
    ] as const) {
      await harness.sim.qmcpd.restart();
      const requests = requestsTo();
      const codes: string[] = [];
      while (codes.at(-1) !== 'rate-limited') codes.push((await harness.ask('@adminvm', service)).code);
      expect(codes.length).toBeGreaterThan(2);
      expect(codes.length).toBeLessThan(12);
      expect(requests.length).toBeLessThan(most);
    }
  });

  it('a call that asks little of qubesd counts as one', async () => {
    harness = await Harness.start({
      prepare: (root) => {
        roomy(root);
        configure(root, { calls_per_minute: 40 });
      },
    });
    await harness.sim.qmcpd.restart();
    const codes: string[] = [];
    while (codes.at(-1) !== 'rate-limited')
      codes.push((await harness.ask('ai-debian', 'qmcp.inspect.State')).code);
    expect(codes).toHaveLength(41);
  });
});

describe('the memory of the host', () => {
  it('a start for which the host has no memory is busy, whichever service starts the qube', async () => {
    harness = await Harness.start();
    const create = (name: string, more: object = {}) =>
      harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', ...more });
    await create('ai-one');
    await create('ai-dvm', { class: 'DispVMTemplate' });
    const before = harness.truth();
    const full = Buffer.from('2\0QubesMemoryError\0\0Not enough memory to start domain\0');
    const { host } = harness.sim;
    const original = host.call.bind(host);
    host.call = (request) =>
      Buffer.from(request).toString('latin1').startsWith('admin.vm.Start+')
        ? Promise.resolve(full)
        : original(request);
    expect(await harness.ask('ai-one', 'qmcp.spawn.Start')).toEqual({ code: 'busy' });
    expect(await create('ai-two', { start: true })).toEqual({ code: 'busy' });
    expect(await harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' })).toEqual({
      code: 'busy',
    });
    host.call = original;
    expect(harness.qube('ai-two')).toBeUndefined();
    expect(harness.disposable()).toBeUndefined();
    expect(harness.truth()).toBe(before);
  });
});

describe('the disposables of others', () => {
  it('a disposable that fails costs the same calls of qubesd, however many disposables others have', async () => {
    const costs: string[][] = [];
    for (const others of [0, 6]) {
      harness = await Harness.start();
      const { host } = harness.sim;
      await harness.ask('@adminvm', 'qmcp.spawn.Create', {
        name: 'ai-dvm',
        template: 'ai-debian',
        class: 'DispVMTemplate',
      });
      for (let at = 0; at < others; at++) await harness.operator('admin.vm.CreateDisposable', 'default-dvm');
      const listener = await Listener.of(harness);
      await listener.caughtUp();
      const original = host.call.bind(host);
      host.call = (request) =>
        Buffer.from(request).toString('latin1').startsWith('admin.vm.CreateDisposable+')
          ? Promise.resolve(Buffer.from('2\0QubesException\0\0no\0'))
          : original(request);
      const requests = requestsTo();
      expect((await harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' })).code).toBe(
        'failed',
      );
      costs.push([...requests]);
      await listener.leave();
      if (others === 0) await harness.close();
    }
    expect(costs[1]).toEqual(costs[0]);
  });
});
