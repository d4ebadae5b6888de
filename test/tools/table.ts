import { LIMITS, type RefusalCode } from '../../core/api/index.js';
import type { Harness } from '../support/harness.js';
import {
  answerForQubes,
  breakQubesd,
  freeze,
  occupyOneCall,
  pauseOnceStarted,
} from '../support/interference.js';
import { FOREVER } from '../support/waiting.js';

/*
 * What is to be seen of each tool. Whatever all tools have in common is not here: it is tried on every one of them. A tool that
 * has no entry fails a test, and so does a code that a tool gave, in these tests or in the random sessions of test/properties,
 * and that its entry does not have; and one that its entry has and that it did not give.
 */

export type Input = Readonly<Record<string, unknown>>;
type Asked = 'dom0' | 'qube';
type Act = (harness: Harness) => Promise<unknown> | unknown;

export interface Provoked {
  /** The golden input with these changes. */
  readonly input?: Input;
  /** An earlier action of the operator, the host or the agent. */
  readonly before?: Act;
  /** Arguments that depend on that action. */
  readonly filled?: (harness: Harness) => Promise<Input>;
}

export interface Entry {
  /** Its answer is in `__snapshots__/golden/`. */
  readonly golden: Input;
  readonly before?: Act;
  /** Arguments that depend on the earlier action. */
  readonly filled?: (harness: Harness) => Promise<Input>;
  /** dom0 answers it without qubesd, so that it does not fail with qubesd. */
  readonly withoutQubesd?: boolean;
  /** The services that it calls: dom0's by default. Only `TROUBLE` with those affects it. */
  readonly asks?: readonly Asked[];
  /** Arguments that name a qube which must exist; a handle begins with the name of one. */
  readonly names?: readonly string[];
  /** Arguments that name a qube which need not exist: a missing one gets an empty answer. */
  readonly filters?: readonly string[];
  /** A call that provokes each of the codes that only this tool has. */
  readonly refusals?: Readonly<Partial<Record<RefusalCode, Provoked>>>;
  /** How the call can be made to wait if holding qubesd back does not, and for which service. */
  readonly waits?: Provoked & { readonly for: string };
}

/**
 * Faults of the services that a tool calls, by the code it then gives. Each returns a function that removes the fault, and can
 * begin while those above it last.
 */
export const TROUBLE = {
  dom0: {
    busy: occupyOneCall,
    frozen: freeze,
    failed: breakQubesd,
  },
  qube: {
    failed: (harness) => answerForQubes(harness, Buffer.from('vault is no frame')),
  },
} satisfies Record<Asked, Partial<Record<RefusalCode, (harness: Harness) => Undo | Promise<Undo>>>>;
type Undo = () => void | Promise<void>;

/**
 * The codes that a tool can give. Every tool refuses malformed input, and answers not-found if nobody answers. One that calls
 * dom0 can exceed the limit of calls.
 */
export function declared({ asks = ['dom0'], refusals = {}, withoutQubesd = false }: Entry): string[] {
  const troubles = asks
    .flatMap((whom) => Object.keys(TROUBLE[whom]))
    .filter((code) => !(withoutQubesd && code === 'failed'));
  const often = asks.includes('dom0') ? ['rate-limited'] : [];
  const codes = ['invalid-request', 'not-found', ...troubles, ...often, ...Object.keys(refusals)];
  return [...new Set(codes)].sort();
}

const do_ = (tool: string, input: Input) => (harness: Harness) => harness.done(tool, input);
const all =
  (...steps: Act[]) =>
  async (harness: Harness) => {
    for (const step of steps) await step(harness);
  };
/** As many qubes run as allowed. */
const crowd = all(do_('qube_start', { qube: 'ai-net' }), do_('qube_start', { qube: 'ai-alone' }));
/** Everything made from it would be on a network outside the world. */
const elsewhere = (harness: Harness) =>
  harness.operator('admin.vm.property.Set', 'ai-dvm', 'netvm', 'sys-firewall');
const note = do_('exec_run', { qube: 'ai-one', command: 'echo hello > /home/user/note' });
const background = (command: string) => do_('exec_run', { qube: 'ai-one', command, background: true });
const begun =
  (command: string) =>
  async (harness: Harness): Promise<Input> => ({
    handle: (await background(command)(harness)).result!.handle,
  });
const ended =
  (command: string) =>
  async (harness: Harness): Promise<Input> => {
    const handle = await begun(command)(harness);
    await harness.done('exec_output', { ...handle, offset: 1000, wait: 60 });
    return handle;
  };
/** A handle that its qube does not know, or no longer knows. */
const forgotten = { handle: 'ai-one:0123456789abcdef' };
const QUBE: readonly Asked[] = ['qube'];
/** A refusal by a service inside a qube: guest/PROTOCOL.md. */
const refusal = (said: { code: RefusalCode; problem: string }) => {
  const payload = JSON.stringify(said);
  return Buffer.from(`R\0\0\0${String.fromCharCode(payload.length)}${payload}`);
};
const stick = { class: 'block', backend: 'ai-two', device: 'sdb' };
const GB = 2 ** 30;

const START_AI_ALONE = { service: 'qmcp.spawn.Start', target: 'ai-alone' };
const planOf = async (harness: Harness, title: string): Promise<string> => {
  const plan = { title, reason: 'It is needed.', steps: [START_AI_ALONE] };
  return (await harness.done('plan_propose', plan)).result!.digest as string;
};
const proposedPlan = async (harness: Harness): Promise<Input> => ({
  digest: await planOf(harness, 'Start it'),
});
const approvedPlan = async (harness: Harness): Promise<Input> => {
  const digest = await planOf(harness, 'Start it');
  await harness.admin('plan', 'approve', digest.slice(0, 8), '--yes');
  return { digest };
};
const everyPlan = async (harness: Harness) => {
  for (let plan = 0; plan < LIMITS.plans_open; plan += 1) await planOf(harness, `Plan ${plan}`);
};
/** Values that differ in every run: names of disposables, handles, times. */
export const DRAWN =
  /disp\d+|:run\d+|:[0-9a-f]{16}|(?<="mtime": ?)\d+|\b[0-9a-f]{64}\b|(?<="expires": ?)\d+/g;

export const TABLE: Readonly<Record<string, Entry>> = {
  // ---- inspect
  qube_list: { golden: {} },
  qube_state: { golden: { qube: 'ai-one' }, names: ['qube'] },
  qube_set: {
    golden: { qube: 'ai-alone', properties: { label: 'blue', vcpus: 1 } },
    names: ['qube'],
    refusals: {
      conflict: { input: { qube: 'ai-one' } },
      'not-permitted': { input: { properties: { label: 'red', default_user: 'root' } } },
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
      'not-permitted': { input: { private_size: GB } },
      'over-budget': { input: { private_size: 5 * GB } },
      conflict: { input: { start: true }, before: (harness) => pauseOnceStarted(harness, 'ai-new') },
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
    refusals: {
      conflict: { input: { template: 'ai-one' } },
      'not-permitted': { before: elsewhere },
      'over-budget': { before: crowd },
    },
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
  qube_remove: {
    golden: { qube: 'ai-one' },
    names: ['qube'],
    // Qubes of the world run from it.
    refusals: { conflict: { input: { qube: 'ai-debian' } } },
  },
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
  event_wait: {
    golden: { seconds: 1, qube: 'ai-one' },
    filters: ['qube'],
    waits: { for: 'qmcp.events.Watch', input: { seconds: 600 } },
  },
  plan_propose: {
    golden: { title: 'Start it', reason: 'It is needed.', steps: [START_AI_ALONE] },
    refusals: { 'over-budget': { before: everyPlan, input: { title: 'One more' } } },
  },
  plan_status: {
    golden: {},
    withoutQubesd: true,
    refusals: { 'not-found': { input: { digest: '0'.repeat(64) } } },
  },
  plan_run: {
    golden: {},
    filled: approvedPlan,
    withoutQubesd: true,
    refusals: { 'not-approved': { before: () => {}, filled: proposedPlan } },
  },
  plan_withdraw: { golden: {}, filled: proposedPlan, withoutQubesd: true },
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
    asks: QUBE,
    names: ['qube'],
    refusals: {
      conflict: {
        input: { command: 'true', background: true },
        before: all(...Array<Act>(16).fill(background(FOREVER))),
      },
    },
    waits: { for: 'qmcp.exec.Run', input: { command: FOREVER, timeout: 3600 } },
  },
  exec_output: {
    golden: {},
    filled: ended('seq 1 5'),
    asks: QUBE,
    names: ['handle'],
    refusals: { conflict: { input: forgotten }, 'not-found': { input: { handle: 'none' } } },
  },
  exec_stop: {
    golden: {},
    filled: begun(FOREVER),
    asks: QUBE,
    names: ['handle'],
    refusals: { conflict: { input: forgotten }, 'not-found': { input: { handle: 'none' } } },
  },
  disposable_run: {
    golden: { template: 'ai-dvm', command: 'echo hello' },
    asks: ['dom0', 'qube'],
    names: ['template'],
    refusals: {
      conflict: { input: { template: 'ai-one' } },
      'not-permitted': { before: elsewhere },
      'over-budget': { before: crowd },
    },
    waits: { for: 'qmcp.exec.Run', input: { command: FOREVER, timeout: 3600 } },
  },
  file_read: {
    golden: { qube: 'ai-one', path: '/home/user/note' },
    before: note,
    asks: QUBE,
    names: ['qube'],
    refusals: {
      conflict: { input: { path: '/home/user' } },
      'not-found': { input: { path: '/home/user/none' } },
    },
  },
  file_write: {
    golden: { qube: 'ai-one', path: '/home/user/other', content: 'hello' },
    asks: QUBE,
    names: ['qube'],
    refusals: { conflict: { input: { path: '/home/user' } } },
  },
  file_list: {
    golden: { qube: 'ai-one', path: '/home/user' },
    before: note,
    asks: QUBE,
    names: ['qube'],
    refusals: {
      conflict: { input: { path: '/home/user/note' } },
      'not-found': { input: { path: '/home/user/none' } },
    },
  },
  file_copy: {
    golden: { source: 'ai-one', target: 'ai-two', path: '/home/user/note' },
    before: note,
    asks: QUBE,
    names: ['source', 'target'],
    refusals: {
      conflict: {
        before: (harness) => answerForQubes(harness, refusal({ code: 'conflict', problem: 'no-copy-here' })),
      },
      'not-found': { input: { path: '/home/user/none' } },
    },
  },
  package_install: {
    golden: { qube: 'ai-one', packages: ['hello'] },
    asks: QUBE,
    names: ['qube'],
    refusals: {
      // A guest in memory always has a package manager.
      conflict: {
        before: (harness) =>
          answerForQubes(harness, refusal({ code: 'conflict', problem: 'no-package-manager' })),
      },
    },
  },
};
