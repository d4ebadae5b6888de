import type { RefusalCode } from '../../core/api/index.js';
import type { Stage } from './stage.js';

/*
 * What is to be seen of each tool. Whatever all tools have in common is not here: it is tried on every one of them. A tool that
 * has no entry fails a test, and so does a code that a tool gave in these tests and that its entry does not have, or the other
 * way round.
 */

export type Input = Readonly<Record<string, unknown>>;

export interface Provoked {
  /** The golden input with these changes. */
  readonly input?: Input;
  /** What the operator, the host or the agent did before. */
  readonly before?: (stage: Stage) => Promise<unknown> | unknown;
}

export interface Entry {
  /** What it answers is in `__snapshots__/golden/`. */
  readonly golden: Input;
  readonly before?: Provoked['before'];
  /** Arguments that only what was before can say. */
  readonly filled?: (stage: Stage) => Promise<Input>;
  /** Arguments that name a qube which has to be there. */
  readonly names?: readonly string[];
  /** Of its own refusals, a call that provokes each. */
  readonly refusals?: Readonly<Partial<Record<RefusalCode, Provoked>>>;
  /** Of those that every tool has which asks dom0, the ones that this one cannot give, and why. */
  readonly never?: Readonly<Partial<Record<'frozen' | 'rate-limited' | 'busy' | 'failed', string>>>;
  /** How it can be made to wait, where holding qubesd back does not. */
  readonly waits?: Provoked;
}

const do_ = (tool: string, input: Input) => (stage: Stage) => stage.done(tool, input);
const all =
  (...steps: ((stage: Stage) => Promise<unknown>)[]) =>
  async (stage: Stage) => {
    for (const step of steps) await step(stage);
  };
/** As many run as may. */
const crowd = all(do_('qube_start', { qube: 'ai-net' }), do_('qube_start', { qube: 'ai-alone' }));
/** Whatever only a qube is asked, dom0 hears nothing of. */
const GUEST = 'dom0 is not asked';
const inside = { frozen: GUEST, 'rate-limited': GUEST, busy: GUEST, failed: GUEST };
const note = do_('exec_run', { qube: 'ai-one', command: 'echo hello > /home/user/note' });
const started =
  (command: string, background = false) =>
  async (stage: Stage): Promise<Input> => {
    const { result } = await stage.done('exec_run', { qube: 'ai-one', command, background });
    return { handle: result!.handle };
  };
const stick = { class: 'block', backend: 'ai-two', device: 'sdb' };
const GB = 2 ** 30;

/** What is drawn anew in every run: names of disposables, handles, times. */
export const DRAWN = /disp\d+|:run\d+|:[0-9a-f]{16}|(?<="mtime": ?)\d+/g;

export const TABLE: Readonly<Record<string, Entry>> = {
  // ---- inspect
  qube_list: { golden: {} },
  qube_state: { golden: { qube: 'ai-one' }, names: ['qube'] },
  qube_set: {
    golden: { qube: 'ai-one', properties: { label: 'blue', vcpus: 1 } },
    names: ['qube'],
    refusals: {
      'not-permitted': { input: { properties: { label: 'red', default_user: 'root' } } },
      'over-budget': { input: { properties: { memory: 30_000 } } },
    },
  },
  qube_feature_set: {
    golden: { qube: 'ai-one', feature: 'x-note', value: 'one' },
    names: ['qube'],
    refusals: { 'not-permitted': { input: { feature: 'service.cups' } } },
  },

  // ---- spawn
  qube_spawn: {
    golden: { name: 'ai-new', template: 'ai-debian', label: 'green', memory: 500 },
    names: ['template'],
    refusals: {
      'name-not-allowed': { input: { name: 'vault' } },
      'name-taken': { input: { name: 'ai-gone' } },
      'over-budget': { input: { private_size: 5 * GB } },
    },
  },
  qube_clone: {
    golden: { source: 'ai-net', name: 'ai-new' },
    names: ['source'],
    refusals: {
      'name-not-allowed': { input: { name: 'new' } },
      'name-taken': { input: { name: 'ai-two' } },
      'not-permitted': { input: { source: 'ai-lent' } },
      'over-budget': {
        before: all(
          do_('qube_clone', { source: 'ai-net', name: 'ai-a' }),
          do_('qube_clone', { source: 'ai-net', name: 'ai-b' }),
        ),
      },
    },
  },
  disposable_spawn: {
    golden: { template: 'ai-dvm' },
    names: ['template'],
    refusals: { 'over-budget': { before: crowd } },
  },
  qube_start: {
    golden: { qube: 'ai-net' },
    names: ['qube'],
    refusals: {
      conflict: { input: { qube: 'ai-one' }, before: do_('qube_pause', { qube: 'ai-one' }) },
      'not-permitted': { input: { qube: 'ai-lent' } },
      'over-budget': { input: { qube: 'ai-locked' }, before: crowd },
    },
  },
  qube_pause: {
    golden: { qube: 'ai-one' },
    names: ['qube'],
    refusals: { conflict: { input: { qube: 'ai-net' } } },
  },
  qube_unpause: {
    golden: { qube: 'ai-one' },
    before: do_('qube_pause', { qube: 'ai-one' }),
    names: ['qube'],
    refusals: { conflict: { input: { qube: 'ai-net' } } },
  },
  qube_shutdown: {
    golden: { qube: 'ai-one' },
    names: ['qube'],
    refusals: {
      conflict: {
        input: { qube: 'ai-two', timeout: 1 },
        before: ({ sim }) => sim.host.faults.hangShutdown('ai-two'),
      },
    },
  },
  qube_kill: { golden: { qube: 'ai-one' }, names: ['qube'] },
  qube_remove: { golden: { qube: 'ai-one' }, names: ['qube'] },
  qube_restore: { golden: { qube: 'ai-gone' }, names: ['qube'] },

  // ---- devices
  device_list: { golden: { qube: 'ai-two' }, names: ['qube'] },
  device_attach: {
    golden: { qube: 'ai-one', ...stick },
    names: ['qube', 'backend'],
    refusals: { conflict: { before: do_('device_attach', { qube: 'ai-one', ...stick }) } },
  },
  device_detach: {
    golden: { qube: 'ai-one', ...stick },
    before: do_('device_attach', { qube: 'ai-one', ...stick }),
    names: ['qube', 'backend'],
  },

  // ---- egress
  egress_status: { golden: {} },
  egress_rules_get: { golden: { qube: 'ai-one' }, names: ['qube'] },
  egress_rules_set: {
    golden: { qube: 'ai-one', rules: [{ to: 'dns' }, { to: '10.1.0.0/16', protocol: 'tcp', ports: '443' }] },
    names: ['qube'],
    refusals: { 'not-permitted': { input: { rules: [{ to: '10.0.0.1' }, { to: '192.168.0.1' }] } } },
  },
  egress_explain: { golden: { qube: 'ai-one', host: '10.0.0.1', port: 443 }, names: ['qube'] },

  // ---- networking
  network_map: { golden: {} },
  network_disconnect: { golden: { qube: 'ai-one' }, names: ['qube'] },
  network_reconnect: {
    golden: { qube: 'ai-one' },
    before: do_('network_disconnect', { qube: 'ai-one' }),
    names: ['qube'],
    refusals: { 'not-permitted': { input: { qube: 'ai-alone' } } },
  },

  // ---- events, storage
  event_wait: { golden: { seconds: 1, qube: 'ai-one' }, waits: { input: { seconds: 60 } } },
  budget_get: { golden: {} },
  volume_grow: {
    golden: { qube: 'ai-one', size: 3 * GB },
    names: ['qube'],
    refusals: {
      'not-permitted': { input: { size: GB } },
      'over-budget': { input: { size: 5 * GB } },
    },
  },

  // ---- exec
  exec_run: {
    golden: { qube: 'ai-one', command: 'echo hello; echo oops >&2; exit 3' },
    names: ['qube'],
    never: inside,
    waits: { input: { command: 'sleep 30' } },
  },
  exec_output: {
    golden: {},
    filled: started('seq 1 5'),
    never: inside,
    refusals: { 'not-found': { input: { handle: 'none' } } },
  },
  exec_stop: {
    golden: {},
    filled: started('sleep 60', true),
    never: inside,
    refusals: { 'not-found': { input: { handle: 'none' } } },
  },
  disposable_run: {
    golden: { template: 'ai-dvm', command: 'echo hello' },
    names: ['template'],
    refusals: { 'over-budget': { before: crowd } },
    waits: { input: { command: 'sleep 30' } },
  },
  file_read: {
    golden: { qube: 'ai-one', path: '/home/user/note' },
    before: note,
    names: ['qube'],
    never: inside,
    refusals: { conflict: { input: { path: '/home/user/none' } } },
  },
  file_write: {
    golden: { qube: 'ai-one', path: '/home/user/other', content: 'hello' },
    names: ['qube'],
    never: inside,
  },
  file_list: { golden: { qube: 'ai-one', path: '/home/user' }, before: note, names: ['qube'], never: inside },
  file_copy: {
    golden: { source: 'ai-one', target: 'ai-two', path: '/home/user/note' },
    before: note,
    names: ['source', 'target'],
    never: inside,
  },
  package_install: { golden: { qube: 'ai-one', packages: ['hello'] }, names: ['qube'], never: inside },
};
