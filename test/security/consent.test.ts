import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Question } from '../../sim/qrexec/daemon.js';
import { SimulatedOperator } from '../../sim/qrexec/operator.js';
import { Agent } from '../support/agent.js';
import { frame } from '../support/fake-host.js';
import { Harness, sharedHarness } from '../support/harness.js';
import { installedContracts } from './noninterference/calls.js';

const NOT_FOUND = '{"error":{"code":"not-found"},"ok":false}\n';
const host = sharedHarness();

const TARGET_SERVICES = installedContracts()
  .filter(({ route, target }) => route === 'dom0' && target !== null)
  .map(({ service }) => service);
/** Requests that are well formed for some of these services; the others refuse them for their shape. */
const PAYLOADS = [{}, { size: 2 ** 33 }, { rules: [] }, { feature: 'x-note', value: 'a' }];

/** Arguments that are not the name of the qube ai-debian. */
const OTHERS = [
  '',
  'ai-dvm',
  'AI-DEBIAN',
  'ai-debian+',
  '+ai-debian',
  'ai-debian+ai-debian',
  'ai-debian+ai-dvm',
  'ai-debian.',
  'ai_debian',
  'ai-debia',
  'vault',
  'no-such-qube',
  '@adminvm',
  '@dispvm',
  'dom0',
];

/** The answer of qmcpd, and every request that it made of qubesd for it. */
async function asked(service: string, target: string, payload: object): Promise<readonly string[]> {
  const { sim } = host();
  const original = sim.host.call.bind(sim.host);
  const requests: string[] = [];
  sim.host.call = (request) => {
    requests.push(host().named(Buffer.from(request).toString('latin1')));
    return original(request);
  };
  try {
    return [await host().direct(service, target, payload), ...requests.sort()];
  } finally {
    sim.host.call = original;
  }
}

// INVARIANT consent.names-the-qube
describe('a call on a qube names that qube in its argument', () => {
  it.each(TARGET_SERVICES)(
    '%s with another argument than its target is answered like a call on a missing qube, after the same work',
    async (service) => {
      const before = host().truth();
      for (const payload of PAYLOADS) {
        const missing = await asked(service, 'no-such-qube', payload);
        for (const argument of OTHERS)
          expect(await asked(`${service}+${argument}`, 'ai-debian', payload), argument).toEqual(missing);
        // An argument that names a qube in reach opens no qube that is hidden.
        for (const hidden of ['vault', 'sys-ai-net', 'mcp-control', 'no-such-qube'])
          expect(await asked(`${service}+ai-debian`, hidden, payload), hidden).toEqual(missing);
      }
      expect(host().truth()).toBe(before);
    },
  );

  it('the same calls are answered alike through the policy, which tells the operator and the log the argument', async () => {
    const before = host().truth();
    for (const argument of ['ai-dvm', 'ai-debian+ai-dvm', 'AI-DEBIAN'])
      expect(await host().call('ai-debian', `qmcp.spawn.Remove+${argument}`)).toEqual({
        exit: 0,
        stdout: NOT_FOUND,
      });
    expect(host().truth()).toBe(before);
    expect(host().audit().slice(-3)).toEqual(
      ['ai-dvm', 'ai-debian+ai-dvm', 'AI-DEBIAN'].map((argument) =>
        expect.objectContaining({ kind: 'refusal', target: 'ai-debian', argument, code: 'not-found' }),
      ),
    );
  });

  it('a service that is called on dom0 takes no argument', async () => {
    for (const service of ['qmcp.Catalog', 'qmcp.inspect.List', 'qmcp.spawn.Create'])
      for (const argument of ['ai-debian', '+', 'dom0', '@adminvm'])
        expect(await host().direct(`${service}+${argument}`, '@adminvm')).toBe(NOT_FOUND);
  });

  it('a service in a qube refuses a call that names another qube, as if there were no such qube', async () => {
    await host().done('qube_spawn', { name: 'ai-one', template: 'ai-debian', start: true });
    const run = `${JSON.stringify({ command: 'touch /home/user/ran' })}\nI\0\0\0\0`;
    const refused = frame('R', '{"code":"not-found"}').toString();
    for (const argument of ['', 'ai-two', 'AI-ONE', 'ai-one+', 'ai-one+ai-two'])
      expect(await host().call('ai-one', `qmcp.exec.Run+${argument}`, run), argument).toEqual({
        exit: 0,
        stdout: refused,
      });
    const listed = await host().done('file_list', { qube: 'ai-one', path: '/home/user' });
    expect(JSON.stringify(listed.result)).not.toContain('ran');
  });
});

describe('the operator is asked before anything is destroyed', () => {
  let harness: Harness;
  const questions: Question[] = [];
  /** The choice of the operator in each dialog. */
  let choice: (question: Question) => string | null;
  const admin = async (...words: string[]) => {
    const { code, err, out } = await harness.admin(...words);
    expect([code, err], out).toEqual([0, '']);
    return out;
  };

  beforeAll(async () => {
    harness = await Harness.start();
    for (const name of ['ai-one', 'ai-two', 'ai-gone', 'ai-guarded', 'ai-looked'])
      await harness.done('qube_spawn', { name, template: 'ai-debian', start: true });
    await admin('guard', 'ai-guarded', '--yes');
    await admin('tier', 'ai-looked', 'read', '--yes');
    await harness.done('qube_remove', { qube: 'ai-gone' });
    await harness.operator('admin.vm.Start', 'vault');
    await admin('ask', 'destroy', '--yes');
    harness.sim.qrexec.operator = (question) => {
      questions.push(question);
      return choice(question);
    };
  });
  afterAll(() => harness.close());
  beforeEach(() => {
    questions.length = 0;
    choice = ({ preselected }) => preselected;
  });

  // INVARIANT consent.names-the-qube
  it('every dialog shows the qube of the call in the argument, and has the one target selected that does it', async () => {
    await harness.done('exec_run', { qube: 'ai-one', command: 'echo here' });
    await harness.done('qube_kill', { qube: 'ai-two' });
    expect(questions).toEqual([
      expect.objectContaining({
        service: 'qmcp.exec.Run',
        argument: 'ai-one',
        requested: 'ai-one',
        preselected: 'ai-one',
        targets: ['ai-one', 'ai-two'],
      }),
      expect.objectContaining({
        service: 'qmcp.spawn.Kill',
        argument: 'ai-two',
        requested: 'ai-two',
        preselected: 'dom0',
        targets: ['dom0'],
      }),
    ]);
    await harness.done('qube_start', { qube: 'ai-two' });
  });

  // INVARIANT consent.names-the-qube
  it('when the operator chooses another qube than the dialog is about, nothing runs in either', async () => {
    choice = () => 'ai-two';
    const command = 'touch /home/user/ran';
    const refused = await harness.tool('exec_run', { qube: 'ai-one', command });
    expect(refused.code).not.toBe('ok');
    expect(questions).toHaveLength(1);
    for (const qube of ['ai-one', 'ai-two']) {
      const { result } = await harness.done('file_list', { qube, path: '/home/user' });
      expect(JSON.stringify(result)).not.toContain('ran');
    }
  });

  // INVARIANT consent.opens-nothing
  it('nobody is asked about a qube that is guarded, removed, hidden, missing, under tier or frozen', async () => {
    const closed = [
      'ai-guarded',
      'ai-gone',
      'ai-looked',
      'vault',
      'sys-ai-net',
      'mcp-control',
      'no-such-qube',
    ];
    const services = ['qmcp.exec.Run', 'qmcp.exec.Stop', 'qmcp.spawn.Kill', 'qmcp.spawn.Remove'];
    const before = harness.truth();
    const asked = async (service: string, target: string) => {
      for (const argument of [target, 'ai-one', '']) {
        const called = `${service}+${argument}`;
        expect(await harness.call(target, called), called).toEqual({ exit: 126, stdout: '' });
      }
    };
    for (const service of services) for (const target of closed) await asked(service, target);
    await admin('freeze');
    for (const service of services) for (const target of [...closed, 'ai-one']) await asked(service, target);
    expect(questions).toEqual([]);
    expect(harness.truth()).toBe(before);
    await admin('thaw');
  });

  // INVARIANT consent.opens-nothing
  it('a question that sorts before the lines that deny is called BROKEN, with its line', async () => {
    const home = join(harness.sim.root, 'etc/qubes/policy.d');
    const line = 'qmcp.exec.Run * mcp-control @tag:ai-exec ask user=root autostart=no\n';
    writeFileSync(join(home, '25-ask.policy'), line);
    const { code, out } = await harness.admin('policy', 'lint', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toContainEqual(
      expect.objectContaining({
        result: 'BROKEN',
        claim: 'an ask line opens nothing that is closed',
        where: 'etc/qubes/policy.d/25-ask.policy:1',
      }),
    );
    writeFileSync(join(home, '25-ask.policy'), '');
    expect((await harness.admin('policy', 'lint', '--json')).code).toBe(0);
  });

  it('a qube that is born later is asked about from its birth, and its dialog offers it', async () => {
    await harness.done('qube_spawn', { name: 'ai-late', template: 'ai-debian', start: true });
    choice = () => 'ai-late';
    const { result } = await harness.done('exec_run', { qube: 'ai-late', command: 'echo late' });
    expect(JSON.stringify(result)).toContain('late');
    expect(questions).toEqual([
      expect.objectContaining({
        argument: 'ai-late',
        preselected: null,
        targets: expect.arrayContaining(['ai-late']),
      }),
    ]);
  });

  describe('an agent whose server started since', () => {
    let agent: Agent;
    const operator = new SimulatedOperator();
    beforeAll(async () => {
      agent = await Agent.of(harness.sim, 'mcp-control');
    });
    afterAll(() => agent.close());
    beforeEach(() => {
      harness.sim.qrexec.operator = operator.ask;
      operator.seen.length = 0;
    });
    const run = { qube: 'ai-one', command: 'echo here' };

    it('a no of the operator is `declined`, without an effect', async () => {
      for (const [tool, input] of [
        ['qube_kill', { qube: 'ai-one' }],
        ['exec_run', run],
      ] as const) {
        const before = harness.truth();
        const calling = agent.call(tool, input);
        (await operator.next()).cancel();
        expect(await calling).toEqual({ code: 'declined' });
        expect(harness.truth()).toBe(before);
      }
    });

    it('hidden and missing names get one answer, and reach no dialog', async () => {
      for (const qube of ['vault', 'work', 'sys-ai-net', 'ai-gone', 'no-such-qube'])
        for (const [tool, input] of [
          ['qube_kill', { qube }],
          ['exec_run', { ...run, qube }],
        ] as const)
          expect([qube, await agent.call(tool, input)]).toEqual([qube, { code: 'not-found' }]);
      expect(operator.seen).toEqual([]);
    });

    it('an OK that comes late counts while the client waits, and does nothing once the client has gone', async () => {
      const waits = agent.call('exec_run', run);
      (await operator.next()).choose();
      expect((await waits).code).toBe('ok');

      for (const [tool, input] of [
        ['qube_kill', { qube: 'ai-one' }],
        ['exec_run', { ...run, command: 'touch /home/user/late' }],
      ] as const) {
        const client = new AbortController();
        const before = harness.truth();
        const calling = agent.call(tool, input, { signal: client.signal });
        const dialog = await operator.next();
        client.abort();
        expect((await calling).code).not.toBe('ok');
        dialog.choose();
        // An answered call shows that the late one has had its turn.
        await harness.call('@adminvm', 'qmcp.inspect.List');
        expect(harness.truth()).toBe(before);
      }
      const listed = await agent.call('file_list', { qube: 'ai-one', path: '/home/user' });
      expect(JSON.stringify(listed)).not.toContain('late');
    });

    it('the dialog offers what the policy offers, and has no OK for anything else', async () => {
      const calling = agent.call('exec_run', run);
      const dialog = await operator.next();
      expect(dialog.operation).toBe('qmcp.exec.Run+ai-one');
      expect(dialog.selected).toBe('ai-one');
      expect(() => dialog.choose('vault')).toThrow('vault is not a choice');
      expect(() => dialog.choose('ai-guarded')).toThrow('ai-guarded is not a choice');
      dialog.choose('ai-two');
      expect((await calling).code).toBe('not-found');
    });

    it('in a frozen world the call is `frozen`, and nobody is asked', async () => {
      await admin('freeze');
      expect(await agent.call('qube_kill', { qube: 'ai-one' })).toEqual({ code: 'frozen' });
      expect(await agent.call('exec_run', run)).toEqual({ code: 'frozen' });
      await admin('thaw');
      expect(operator.seen).toEqual([]);
    });
  });
});
