import type { HostSnapshot } from '../../../model/snapshot.js';
import { deviceOf } from '../../../sim/host/populate.js';
import { configure, type Harness, roomy } from '../../support/harness.js';

export type Qube = HostSnapshot['qubes'][number];

/**
 * One verb to interrupt wherever possible. A new verb is one more entry: how to prepare the host, the call, and its complete
 * effect. No effect is the host as it was before the call, to the last property. An entry is tried when its contract is
 * installed, and every installed contract that changes something must have one.
 */
export interface Verb {
  /** The contract of this verb. */
  readonly service: string;
  /** The operator's changes to dom0's files before. */
  readonly configure?: (root: string) => void;
  readonly prepare?: (at: Harness) => Promise<unknown>;
  readonly call: (at: Harness) => Promise<unknown>;
  /** Whether the effect is complete, by the host's actual state. */
  readonly whole: (qube: (name: string) => Qube | undefined) => boolean;
}

const ONE = 'ai-one';
const create = (at: Harness, more: object = {}) =>
  at.call('@adminvm', 'qmcp.spawn.Create', { name: ONE, template: 'ai-debian', ...more });
const running = (at: Harness) => create(at, { start: true });

/** A qube of the world, at the tier of its template, with nothing that belongs to others. */
const isBorn = (qube: Qube | undefined) =>
  [...(qube?.tags ?? [])].sort().join(' ') === 'ai-born ai-full ai-managed created-by-mcp-control' &&
  qube?.properties.netvm === 'sys-ai-net';

const DISK = { class: 'block', backend: ONE, device: 'sda' };

async function twoWithADisk(at: Harness): Promise<void> {
  for (const name of [ONE, 'ai-two'])
    await at.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', start: true });
  const { host } = at.sim;
  host.plug(deviceOf(host.domain(ONE), { class: 'block', port: 'sda' }));
}

const START = { service: 'qmcp.spawn.Start', target: ONE, params: {} };
const planOf = (step: object) => ({
  plan: JSON.stringify({ title: 'One step', reason: 'It is needed.', steps: [step] }),
});
/** The plan of each host. */
const plans = new WeakMap<Harness, string>();

/** Proposes a plan with this step, and approves it. */
async function approve(at: Harness, step: object): Promise<void> {
  const { result } = await at.ask('@adminvm', 'qmcp.plan.Propose', planOf(step));
  plans.set(at, result.digest);
  const { code, out, err } = await at.admin('plan', 'approve', result.digest.slice(0, 8), '--yes');
  if (code !== 0) throw new Error(out + err);
}
const runStep = (at: Harness) => at.call('@adminvm', 'qmcp.plan.Step', { digest: plans.get(at), number: 1 });

export const VERBS: Readonly<Record<string, Verb>> = {
  create: {
    service: 'qmcp.spawn.Create',
    call: (at) => create(at, { memory: 500, vcpus: 1, private_size: 3 * 2 ** 30 }),
    whole: (qube) =>
      isBorn(qube(ONE)) && qube(ONE)?.state === 'Halted' && qube(ONE)?.properties.memory === '500',
  },
  'create and start': {
    service: 'qmcp.spawn.Create',
    call: running,
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Running',
  },
  start: {
    service: 'qmcp.spawn.Start',
    prepare: create,
    call: (at) => at.call(ONE, 'qmcp.spawn.Start'),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Running',
  },
  shutdown: {
    service: 'qmcp.spawn.Shutdown',
    prepare: running,
    call: (at) => at.call(ONE, 'qmcp.spawn.Shutdown'),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Halted',
  },
  remove: {
    service: 'qmcp.spawn.Remove',
    prepare: running,
    call: (at) => at.call(ONE, 'qmcp.spawn.Remove'),
    whole: (qube) =>
      qube(ONE)?.state === 'Halted' &&
      [...qube(ONE)!.tags].sort().join(' ') ===
        'ai-born ai-full ai-managed ai-tombstone created-by-mcp-control',
  },
  kill: {
    service: 'qmcp.spawn.Kill',
    prepare: running,
    call: (at) => at.call(ONE, 'qmcp.spawn.Kill'),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Halted',
  },
  pause: {
    service: 'qmcp.spawn.Pause',
    prepare: running,
    call: (at) => at.call(ONE, 'qmcp.spawn.Pause'),
    whole: (qube) => qube(ONE)?.state === 'Paused',
  },
  resume: {
    service: 'qmcp.spawn.Unpause',
    prepare: async (at) => {
      await running(at);
      await at.call(ONE, 'qmcp.spawn.Pause');
    },
    call: (at) => at.call(ONE, 'qmcp.spawn.Unpause'),
    whole: (qube) => qube(ONE)?.state === 'Running',
  },
  restore: {
    service: 'qmcp.spawn.Restore',
    prepare: async (at) => {
      await create(at);
      await at.call(ONE, 'qmcp.spawn.Remove');
    },
    call: (at) => at.call('@adminvm', 'qmcp.spawn.Restore', { qube: ONE }),
    whole: (qube) =>
      isBorn(qube(ONE)) &&
      !qube(ONE)!.tags.includes('ai-tombstone') &&
      qube(ONE)?.features['qmcp-entombed'] === undefined,
  },
  clone: {
    service: 'qmcp.spawn.Clone',
    prepare: (at) => create(at, { memory: 500, label: 'blue', private_size: 3 * 2 ** 30 }),
    call: (at) => at.call('@adminvm', 'qmcp.spawn.Clone', { source: ONE, name: 'ai-two' }),
    whole: (qube) =>
      isBorn(qube('ai-two')) &&
      qube('ai-two')?.properties.memory === '500' &&
      qube('ai-two')?.disk === 3 * 2 ** 30,
  },
  disposable: {
    service: 'qmcp.spawn.Disposable',
    prepare: (at) => create(at, { class: 'DispVMTemplate' }),
    call: (at) => at.call('@adminvm', 'qmcp.spawn.Disposable', { template: ONE }),
    whole: () => true,
  },
  'remove a disposable': {
    service: 'qmcp.spawn.Remove',
    prepare: async (at) => {
      await create(at, { class: 'DispVMTemplate' });
      await at.call('@adminvm', 'qmcp.spawn.Disposable', { template: ONE });
    },
    call: (at) => at.call(at.disposable()!, 'qmcp.spawn.Remove'),
    whole: () => true,
  },
  'set properties': {
    service: 'qmcp.inspect.Set',
    prepare: create,
    call: (at) => at.call(ONE, 'qmcp.inspect.Set', { label: 'blue', memory: 500, vcpus: 1 }),
    whole: (qube) => {
      const { label, memory, vcpus } = qube(ONE)!.properties;
      return [label, memory, vcpus].join(' ') === 'blue 500 1';
    },
  },
  'set a feature': {
    service: 'qmcp.inspect.FeatureSet',
    configure: (root) => {
      roomy(root);
      configure(root, { features: '["x-note"]' });
    },
    prepare: create,
    call: (at) => at.call(ONE, 'qmcp.inspect.FeatureSet', { feature: 'x-note', value: 'new' }),
    whole: (qube) => qube(ONE)?.features['x-note'] === 'new',
  },
  'grow a disk': {
    service: 'qmcp.storage.Grow',
    prepare: create,
    call: (at) => at.call(ONE, 'qmcp.storage.Grow', { size: 3 * 2 ** 30 }),
    whole: (qube) => qube(ONE)?.disk === 3 * 2 ** 30,
  },
  'set outbound rules': {
    service: 'qmcp.egress.RulesSet',
    prepare: create,
    call: (at) => at.call(ONE, 'qmcp.egress.RulesSet', { rules: [{ to: 'example.com' }] }),
    whole: (qube) => qube(ONE)?.firewall.join() === 'action=accept dsthost=example.com,action=drop',
  },
  disconnect: {
    service: 'qmcp.networking.Disconnect',
    prepare: running,
    call: (at) => at.call(ONE, 'qmcp.networking.Disconnect'),
    whole: (qube) => qube(ONE)?.properties.netvm === '',
  },
  reconnect: {
    service: 'qmcp.networking.Reconnect',
    prepare: async (at) => {
      await create(at);
      await at.call(ONE, 'qmcp.networking.Disconnect');
    },
    call: (at) => at.call(ONE, 'qmcp.networking.Reconnect'),
    whole: (qube) => isBorn(qube(ONE)),
  },
  attach: {
    service: 'qmcp.devices.Attach',
    prepare: twoWithADisk,
    call: (at) => at.call('ai-two', 'qmcp.devices.Attach', DISK),
    whole: () => true,
  },
  detach: {
    service: 'qmcp.devices.Detach',
    prepare: async (at) => {
      await twoWithADisk(at);
      await at.call('ai-two', 'qmcp.devices.Attach', DISK);
    },
    call: (at) => at.call('ai-two', 'qmcp.devices.Detach', DISK),
    whole: () => true,
  },
  'propose a plan': {
    service: 'qmcp.plan.Propose',
    prepare: create,
    call: (at) => at.call('@adminvm', 'qmcp.plan.Propose', planOf(START)),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Halted',
  },
  'run a step of an approved plan': {
    service: 'qmcp.plan.Step',
    prepare: async (at) => {
      await create(at);
      await at.admin('tier', ONE, 'read', '--yes');
      await approve(at, START);
    },
    call: runStep,
    whole: (qube) => qube(ONE)?.state === 'Running',
  },
  'report a command of a plan': {
    service: 'qmcp.plan.Done',
    prepare: async (at) => {
      await running(at);
      await approve(at, { qube: ONE, command: 'true' });
      await runStep(at);
    },
    call: (at) => at.call('@adminvm', 'qmcp.plan.Done', { digest: plans.get(at), number: 1, exit: 0 }),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Running',
  },
  'withdraw a plan': {
    service: 'qmcp.plan.Withdraw',
    prepare: async (at) => {
      await create(at);
      await approve(at, START);
    },
    call: (at) => at.call('@adminvm', 'qmcp.plan.Withdraw', { digest: plans.get(at) }),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Halted',
  },
};
