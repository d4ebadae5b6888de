import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SEED } from '../../test/support/seed.js';
import { decodeReply, encodeRequest } from '../adminapi/messages.js';
import { soon } from '../adminapi/replay/replay.js';
import { loadHostSpec } from '../host-spec.js';
import { type HostEvent, pythonStr } from './events.js';
import { Host } from './host.js';
import { listProperties } from './properties/access.js';
import type { Qube } from './qube.js';

const NAMES = [
  'work',
  'vault',
  'sys-net',
  'sys-firewall',
  'default-dvm',
  'debian-12-xfce',
  'a',
  'b',
  'c',
  'nosuch',
];
const TAGS = ['one', 'two', 'created-by-work'];
const FEATURES = ['f', 'service.x', 'tag-created-vm-with', 'prohibit-start'];

interface Step {
  readonly method: string;
  readonly dest: string;
  readonly source?: string;
  readonly argument?: string;
  readonly payload?: string;
}

const name = fc.constantFrom(...NAMES);
const dest = fc.constantFrom(...NAMES, 'dom0', 'disp');
const source = fc.constantFrom('dom0', 'dom0', 'work');

/** One request, with mostly valid arguments. `disp` stands for the newest disposable. */
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    method: fc.constantFrom(
      'admin.vm.Start',
      'admin.vm.Kill',
      'admin.vm.Pause',
      'admin.vm.Unpause',
      'admin.vm.Remove',
    ),
    dest,
    source,
  }),
  fc.record({
    method: fc.constant('admin.vm.Shutdown'),
    dest,
    argument: fc.constantFrom('', 'force', 'wait', 'force+wait'),
  }),
  fc.record({
    method: fc.constantFrom('admin.vm.Create.AppVM', 'admin.vm.Create.DispVM', 'admin.vm.Create.TemplateVM'),
    dest: fc.constant('dom0'),
    source,
    argument: fc.constantFrom('', '', 'debian-12-xfce', 'default-dvm', 'a'),
    payload: fc.constantFrom('a', 'b', 'c').map((created) => `name=${created} label=red`),
  }),
  fc.record({
    method: fc.constant('admin.vm.CreateDisposable'),
    dest: fc.constantFrom('dom0', 'default-dvm', 'a'),
    source,
  }),
  fc.record({
    method: fc.constant('admin.vm.property.Set'),
    dest,
    argument: fc.constantFrom('netvm', 'template', 'default_dispvm', 'guivm', 'audiovm'),
    payload: fc.oneof(name, fc.constant('')),
  }),
  fc.record({
    method: fc.constant('admin.vm.property.Set'),
    dest,
    argument: fc.constantFrom('provides_network', 'template_for_dispvms', 'autostart', 'installed_by_rpm'),
    payload: fc.constantFrom('True', 'False'),
  }),
  fc.record({
    method: fc.constant('admin.vm.property.Reset'),
    dest,
    // Not provides_network: its reset skips the check that setting it makes, on a real host too.
    argument: fc.constantFrom('netvm', 'default_dispvm', 'template', 'guivm'),
  }),
  fc.record({
    method: fc.constant('admin.property.Set'),
    dest: fc.constant('dom0'),
    argument: fc.constantFrom('default_netvm', 'default_dispvm', 'default_template', 'clockvm', 'updatevm'),
    payload: fc.oneof(name, fc.constant('')),
  }),
  fc.record({
    method: fc.constantFrom('admin.vm.tag.Set', 'admin.vm.tag.Remove'),
    dest,
    source,
    argument: fc.constantFrom(...TAGS),
  }),
  fc.record({
    method: fc.constant('admin.vm.feature.Set'),
    dest,
    argument: fc.constantFrom(...FEATURES),
    payload: fc.constantFrom('', '1', 'one two'),
  }),
  fc.record({ method: fc.constant('admin.vm.feature.Remove'), dest, argument: fc.constantFrom(...FEATURES) }),
);

/** The host as a subscriber knows it who was told of each qube's birth and of every event since. */
class Witness {
  readonly qubes = new Map<
    string,
    { tags: Set<string>; features: Map<string, string>; on: boolean; set: Map<string, string> }
  >();
  constructor(private readonly host: Host) {
    for (const qube of host.qubes()) this.meet(qube.name);
    host.onEvent((event) => this.hear(event));
  }

  meet(qube: string): void {
    const { tags, features, running, set } = this.host.domain(qube);
    this.qubes.set(qube, {
      tags: new Set(tags),
      features: new Map(features),
      on: running,
      set: new Map([...set].map(([key, value]) => [key, pythonStr(value)])),
    });
  }

  hear({ subject, name: event, args }: HostEvent): void {
    if (event === 'domain-add') this.meet(String(args.vm));
    if (event === 'domain-delete') this.qubes.delete(String(args.vm));
    const known = subject === null ? undefined : this.qubes.get(subject.name);
    if (known === undefined) return;
    if (event.startsWith('domain-tag-add:')) known.tags.add(String(args.tag));
    if (event.startsWith('domain-tag-delete:')) known.tags.delete(String(args.tag));
    if (event.startsWith('domain-feature-set:')) known.features.set(String(args.feature), String(args.value));
    if (event.startsWith('domain-feature-delete:')) known.features.delete(String(args.feature));
    if (event === 'domain-spawn') known.on = true;
    if (event === 'domain-shutdown') known.on = false;
    // A default that changes is announced as set too; only values that are set are recorded.
    if (event.startsWith('property-set:') && subject?.set.has(String(args.name))) {
      known.set.set(String(args.name), pythonStr(args.newvalue ?? null));
    }
    if (event.startsWith('property-del:')) known.set.delete(String(args.name));
  }

  /**
   * The daemon stores a tag first, and tells subscribers after its own extensions have reacted. For `created-by-NAME`, these
   * look NAME up: if there is no such qube, the caller gets an error, the tag stays, and subscribers get no event.
   */
  keepsUnannounced({ method, dest: target, argument, source: by }: Required<Step>): boolean {
    const creator = /^created-by-(.+)$/.exec(argument)?.[1];
    if (method !== 'admin.vm.tag.Set' || creator === undefined || by !== 'dom0') return false;
    const tags = this.qubes.get(target)?.tags;
    if (tags === undefined || tags.has(argument) || this.qubes.has(creator)) return false;
    tags.add(argument);
    return true;
  }

  agrees(): void {
    const seen = [...this.qubes].map(([qube, known]) => [
      qube,
      [...known.tags].sort(),
      [...known.features].sort(),
      known.on,
      [...known.set].sort(),
    ]);
    const true_ = [...this.host.qubes()].map((qube) => [
      qube.name,
      [...qube.tags].sort(),
      [...qube.features].sort(),
      qube.running,
      [...qube.set].map(([key, value]) => [key, pythonStr(value)]).sort(),
    ]);
    expect(seen).toEqual(true_);
  }
}

function holdsTogether(host: Host): void {
  for (const qube of host.qubes()) {
    for (const { name: property, type } of listProperties(host, qube)) {
      const value = host.property(qube, property);
      if (type !== 'vm' || value === null) continue;
      expect(host.find(String(value)), `${qube.name}.${property} = ${value}`).toBeDefined();
    }
    const template = host.related(qube, 'template');
    if (qube.class === 'AppVM') expect(template?.class).toBe('TemplateVM');
    if (qube.class === 'DispVM') expect(host.property(template ?? qube, 'template_for_dispvms')).toBe(true);
    // Through a default, a real host too gets a netvm that provides no network, or is the qube itself; through a set value,
    // never.
    const explicit = (at: Qube) => (at.set.get('netvm') ? host.related(at, 'netvm') : null);
    let netvm = explicit(qube);
    for (let hops = 0; netvm !== null; netvm = explicit(netvm)) {
      expect(host.property(netvm, 'provides_network'), `${netvm.name} is a netvm`).toBe(true);
      expect(hops++, 'netvms go round').toBeLessThan(50);
    }
    expect(qube.halted).toBe(qube.xid === -1 && qube.class !== 'AdminVM' && qube.class !== 'RemoteVM');
  }
  for (const { name: property, type } of listProperties(host, null)) {
    const value = host.global(property);
    if (type === 'vm' && value !== null)
      expect(host.find(String(value)), `${property} = ${value}`).toBeDefined();
  }
}

/** Makes the calls, and after each one compares the host with what its events said. Returns the replies. */
async function play(steps: readonly Step[]) {
  const host = Host.load(loadHostSpec('recorded'), { wait: soon });
  const witness = new Witness(host);
  const replies: ReturnType<typeof decodeReply>[] = [];
  for (const step of steps) {
    const newest = [...witness.qubes.keys()].filter((qube) => /^disp\d+$/.test(qube)).at(-1);
    const request = { argument: '', payload: '', source: 'dom0', ...step };
    if (request.dest === 'disp') request.dest = newest ?? 'nosuch';
    const { method, dest: target, ...rest } = request;
    const unannounced = witness.keepsUnannounced(request);
    const reply = decodeReply(await host.call(encodeRequest(method, target, rest)));
    await host.idle();
    if (unannounced) expect(reply).toMatchObject({ type: 'QubesVMNotFoundError' });
    holdsTogether(host);
    witness.agrees();
    replies.push(reply);
  }
  return replies;
}

test('whatever calls a host gets, its qubes refer only to qubes that exist, and its events tell every change', async () => {
  console.log(`seed ${SEED}`);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
      await play(steps);
    }),
    { seed: SEED, numRuns: 150 },
  );
});

test('a tag created-by-NAME stays after an error and sends no event if there is no qube NAME', async () => {
  const tagged = { method: 'admin.vm.tag.Set', dest: 'default-dvm', argument: 'created-by-work' };
  const removed = { ...tagged, method: 'admin.vm.tag.Remove' };
  const replies = await play([
    tagged,
    removed,
    { method: 'admin.vm.Remove', dest: 'work' },
    tagged,
    tagged,
    removed,
  ]);
  expect(replies.map((reply) => (reply.kind === 'error' ? reply.type : reply.kind))).toEqual([
    'ok',
    'ok',
    'ok',
    'QubesVMNotFoundError',
    'ok', // It has the tag already, so the daemon does nothing.
    'ok',
  ]);
});
