import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SimulatedCalls } from '../../testing/simulated-calls.js';
import { Harness } from '../support/harness.js';
import { holdFirst } from '../support/interference.js';
import { until } from '../support/waiting.js';

const NOT_FOUND = { code: 'not-found' };
const NOT_APPROVED = { code: 'not-approved' };
const POLICY = 'etc/qubes/policy.d/20-qmcp-plans.policy';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
  await harness.call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian' });
  await decided('tier', 'ai-one', 'read');
});
afterEach(async () => {
  expect(opened()).toEqual([]);
  await harness.close();
});

/** Runs a command of the operator that must succeed. */
async function decided(...words: string[]): Promise<string> {
  const { code, out, err } = await harness.admin(...words, '--yes');
  if (code !== 0) throw new Error(`${words.join(' ')}: ${out}${err}`);
  return out;
}

const plan = (steps: readonly object[], title = 'Tidy up') => ({ title, reason: 'It is full.', steps });
const START = { service: 'qmcp.spawn.Start', target: 'ai-one', params: {} };
const REMOVE = { service: 'qmcp.spawn.Remove', target: 'ai-one', params: {} };

const propose = (of: object) => harness.ask('@adminvm', 'qmcp.plan.Propose', { plan: JSON.stringify(of) });
const status = async (digest: string) =>
  (await harness.ask('@adminvm', 'qmcp.plan.Status', { digest })).result.plans[0];
const step = (digest: string, number: number) =>
  harness.ask('@adminvm', 'qmcp.plan.Step', { digest, number });
const tagsOf = (name: string) => harness.qube(name)?.tags ?? [];

async function proposed(...steps: object[]): Promise<string> {
  const { result } = await propose(plan(steps));
  return result.digest;
}

/** What approvals have opened: marks, and lines of policy. */
function opened(): string[] {
  const marks = join(harness.sim.root, 'run/qmcp/approved');
  const path = join(harness.sim.root, POLICY);
  return [
    ...(existsSync(marks) ? readdirSync(marks) : []),
    ...(existsSync(path)
      ? readFileSync(path, 'utf8')
          .split('\n')
          .filter((line) => line.includes(' allow '))
      : []),
  ];
}

// INVARIANT plans.approved
describe('a plan', () => {
  test('a plan that nobody approved does nothing', async () => {
    expect((await harness.ask('ai-one', 'qmcp.spawn.Start')).code).not.toBe('ok');
    const { result } = await propose(plan([START, REMOVE]));
    expect(result.steps).toEqual([
      { number: 1, verdict: 'needs approval' },
      { number: 2, verdict: 'needs approval' },
    ]);
    const before = harness.truth();
    expect(await step(result.digest, 1)).toEqual(NOT_APPROVED);
    await decided('plan', 'reject', result.digest.slice(0, 8));
    expect(await step(result.digest, 1)).toEqual(NOT_APPROVED);
    expect((await status(result.digest)).state).toBe('rejected');
    expect(harness.truth()).toBe(before);
  });

  test('an approved plan does what was read on the qubes that were there, once', async () => {
    const digest = await proposed(START, REMOVE);
    await decided('plan', 'approve', digest.slice(0, 8));
    expect(await step(digest, 2)).toEqual(NOT_APPROVED);
    expect((await step(digest, 1)).code).toBe('ok');
    expect(harness.qube('ai-one')?.state).toBe('Running');
    expect(await step(digest, 1)).toEqual(NOT_APPROVED);
    expect((await step(digest, 2)).code).toBe('ok');
    expect(tagsOf('ai-one')).toContain('ai-tombstone');
    expect(await step(digest, 2)).toEqual(NOT_APPROVED);
    expect((await status(digest)).state).toBe('done');
    const lines = harness.audit().filter((line) => line.plan === digest && line.kind === 'intent');
    expect(lines.map(({ service, step }) => [service, step])).toEqual([
      ['qmcp.spawn.Start', 1],
      ['qmcp.spawn.Remove', 2],
    ]);
    await decided('expire');
  });

  test('a hidden name in a plan is judged like a missing one, after the same work, and such a plan is not kept', async () => {
    await harness.operator('admin.vm.tag.Set', 'vault', 'lab-managed');
    // qmcpd looks at a qube by itself after a change of its tags. It takes this one off after all changes before.
    await harness.operator('admin.vm.tag.Set', 'vault', 'ai-exec');
    await until(() => !tagsOf('vault').includes('ai-exec'));
    await harness.ask('ai-one', 'qmcp.inspect.State');
    await harness.ask('ai-one', 'qmcp.inspect.State');
    const asked: string[][] = [];
    const original = harness.sim.host.call.bind(harness.sim.host);
    harness.sim.host.call = (request) => {
      asked.at(-1)?.push(harness.named(Buffer.from(request).toString('latin1')));
      return original(request);
    };
    for (const target of ['no-such-qube', 'vault', 'sys-ai-net', 'mcp-control']) {
      asked.push([]);
      const command = { qube: target, command: 'true' };
      const answer = await propose(plan([{ ...REMOVE, target }, command, START]));
      expect(answer.result).toEqual({
        digest: null,
        steps: [
          { number: 1, verdict: 'would be refused', code: 'not-found' },
          { number: 2, verdict: 'would be refused', code: 'not-found' },
          { number: 3, verdict: 'needs approval' },
        ],
      });
    }
    harness.sim.host.call = original;
    expect(asked[0]!.length).toBeGreaterThan(4);
    for (const requests of asked) expect(requests).toEqual(asked[0]);
    expect((await harness.ask('@adminvm', 'qmcp.plan.Status')).result.plans).toEqual([]);
  });

  test('a plan of another principal is missing', async () => {
    expect(await step('0'.repeat(64), 1)).toEqual(NOT_FOUND);
  });
});

/** A plan with one script in ai-one, which runs. */
const script = (command: string | string[], more: object = {}) => ({ qube: 'ai-one', command, ...more });

/** What the qube answers to these bytes in the name of an approval: the last frame, or "" if the policy denies the call. */
async function sent(request: string, argument: string, qube = 'ai-one'): Promise<string> {
  const calls = new SimulatedCalls(harness.sim, 'mcp-control');
  const stdin = Buffer.from(`${request}\nI\0\0\0\0`);
  const service = `qmcp.plan.Approved+${argument}`;
  const call = { target: qube, service, stdin, keepStdinOpen: true, timeout: 600, maxBytes: 2 ** 20 };
  const { stdout } = await calls.call(call);
  return Buffer.from(stdout).toString('latin1');
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

// INVARIANT plans.approved
describe('a command of a plan', () => {
  beforeEach(async () => {
    await harness.operator('admin.vm.Start', 'ai-one');
  });

  test('runs as it was read, once, and the qube refuses a changed byte', async () => {
    const digest = await proposed(
      script('echo done > /home/user/out; echo heard'),
      script('cat /home/user/out'),
    );
    await decided('plan', 'approve', digest.slice(0, 8));
    expect(opened()).toHaveLength(3);
    const ran = await harness.done('plan_run', { digest });
    expect(ran.result).toMatchObject({
      steps: [
        { number: 1, state: 'done', exit: 0, stdout: 'heard\n' },
        { number: 2, state: 'done', exit: 0, stdout: 'done\n' },
      ],
    });
    expect((await harness.tool('plan_run', { digest })).code).toBe('not-approved');
    await decided('expire');
  });

  test('is let through for these bytes, this qube and this approval only, and once', async () => {
    const digest = await proposed(script('echo one'));
    await decided('plan', 'approve', digest.slice(0, 8));
    const { result } = await step(digest, 1);
    const { request } = result;
    const [name, changed] = [sha256(request), request.replace('echo one', 'echo two')];
    expect(await sent(changed, `ai-one+${sha256(changed)}`)).toBe('');
    expect(await sent(changed, `ai-one+${name}`)).toContain('invalid-request');
    expect(await sent(request, `ai-debian+${name}`, 'ai-debian')).toBe('');
    expect(await sent(request, `ai-one+${name}`, 'ai-debian')).toBe('');
    expect(await sent(request, `ai-one+${name}`)).toContain('one\n');
    expect(await sent(request, `ai-one+${name}`)).toContain('run-before');
    await decided('plan', 'revoke', digest.slice(0, 8));
    expect(await sent(request, `ai-one+${name}`)).toBe('');
  });

  test('does not run on a file that is not as it was pinned', async () => {
    await harness.operator('admin.vm.tag.Set', 'ai-one', 'ai-exec');
    const write = 'echo good > /home/user/job.sh';
    expect((await harness.done('exec_run', { qube: 'ai-one', command: write })).code).toBe('ok');
    const pin = { path: '/home/user/job.sh', sha256: sha256('good\n') };
    const digest = await proposed(script('cat /home/user/job.sh', { files: [pin] }));
    await decided('plan', 'approve', digest.slice(0, 8));
    await harness.done('exec_run', { qube: 'ai-one', command: 'echo bad > /home/user/job.sh' });
    const ran = await harness.done('plan_run', { digest });
    expect(ran.result).toMatchObject({ steps: [{ number: 1, state: 'failed', code: 'conflict' }] });
    expect((await status(digest)).state).toBe('failed');
    await decided('expire');
  });

  test('prints for nobody when the person says so', async () => {
    const digest = await proposed(script('echo secret'));
    await decided('plan', 'approve', digest.slice(0, 8), '--output', 'nobody');
    const ran = await harness.done('plan_run', { digest });
    expect(ran.result).toMatchObject({ steps: [{ exit: 0, stdout: '' }] });
    await decided('expire');
  });

  test('is not let through to a qube that was expelled since, or is guarded', async () => {
    const digest = await proposed(script('echo one'));
    await decided('plan', 'approve', digest.slice(0, 8));
    await decided('guard', 'ai-one');
    expect(await step(digest, 1)).toEqual(NOT_FOUND);
    await decided('guard', 'ai-one', '--off');
    const { result } = await step(digest, 1);
    await decided('guard', 'ai-one');
    expect(await sent(result.request, `ai-one+${sha256(result.request)}`)).toBe('');
    await decided('expel', 'ai-one');
    expect(await sent(result.request, `ai-one+${sha256(result.request)}`)).toBe('');
    await decided('plan', 'revoke', digest.slice(0, 8));
  });

  test('is only handed over by the next step of a plan that is approved', async () => {
    const digest = await proposed(script('true'), script('echo two'));
    await decided('plan', 'approve', digest.slice(0, 8));
    expect((await step(digest, 1)).code).toBe('ok');
    expect(await step(digest, 2)).toEqual(NOT_APPROVED);
    await harness.ask('@adminvm', 'qmcp.plan.Done', { digest, number: 1, exit: 0 });
    await decided('plan', 'revoke', digest.slice(0, 8));
    expect(await step(digest, 2)).toEqual(NOT_APPROVED);
    expect((await status(digest)).state).toBe('revoked');
  });
});

// INVARIANT plans.approved
describe('an attack on plans', () => {
  test('of two runs at once, one begins the step', async () => {
    const digest = await proposed(START);
    await decided('plan', 'approve', digest.slice(0, 8));
    const codes = (await Promise.all([step(digest, 1), step(digest, 1), step(digest, 1)])).map(
      ({ code }) => code,
    );
    expect(codes.sort()).toEqual(['not-approved', 'not-approved', 'ok']);
    await decided('expire');
  });

  test('a revocation in the middle of a step undoes the step', async () => {
    const digest = await proposed(START, REMOVE);
    await decided('plan', 'approve', digest.slice(0, 8));
    const held = holdFirst(harness, 'admin.vm.Start');
    const running = step(digest, 1);
    await held.arrived;
    await decided('plan', 'revoke', digest.slice(0, 8));
    held.release();
    expect(await running).toEqual(NOT_APPROVED);
    expect(harness.qube('ai-one')?.state).toBe('Halted');
    expect(await step(digest, 2)).toEqual(NOT_APPROVED);
  });

  test('an approval that ends between two steps ends the plan', async () => {
    const digest = await proposed(START, REMOVE);
    await decided('plan', 'approve', digest.slice(0, 8));
    expect((await step(digest, 1)).code).toBe('ok');
    const path = join(harness.sim.root, 'var/lib/qmcp/decisions', `${digest}.json`);
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), over: 0 }));
    expect(await step(digest, 2)).toEqual(NOT_APPROVED);
    expect(tagsOf('ai-one')).not.toContain('ai-tombstone');
    await decided('expire');
    expect((await status(digest)).state).toBe('expired');
  });

  test('a step that was begun when qmcpd died is undone, and never begun again', async () => {
    const digest = await proposed(START, REMOVE);
    await decided('plan', 'approve', digest.slice(0, 8));
    const held = holdFirst(harness, 'admin.vm.Start');
    const running = step(digest, 1);
    await held.arrived;
    await harness.sim.qmcpd.kill();
    held.release();
    expect((await running).code).not.toBe('ok');
    await harness.sim.qmcpd.restart();
    for (const number of [1, 2]) expect(await step(digest, number)).toEqual(NOT_APPROVED);
    expect((await status(digest)).state).toBe('failed');
    expect(tagsOf('ai-one')).not.toContain('ai-tombstone');
    await decided('expire');
  });

  test('another qube under an approved name gets nothing', async () => {
    const digest = await proposed(START);
    await decided('plan', 'approve', digest.slice(0, 8));
    await harness.operator('admin.vm.Remove', 'ai-one');
    await harness.operator('admin.vm.Create.AppVM', 'dom0', 'ai-debian', 'name=ai-one label=red');
    await decided('enroll', 'ai-one', '--world', 'ai', '--tier', 'read');
    const before = harness.truth();
    expect(await step(digest, 1)).toEqual(NOT_FOUND);
    expect(harness.truth()).toBe(before);
    await decided('plan', 'revoke', digest.slice(0, 8));
  });

  test('a freeze stops an approved plan, and a plan lifts no ceiling', async () => {
    const digest = await proposed(START, {
      service: 'qmcp.inspect.Set',
      target: 'ai-one',
      params: { default_user: 'root' },
    });
    await decided('plan', 'approve', digest.slice(0, 8));
    await decided('freeze', 'ai');
    expect(await step(digest, 1)).toEqual({ code: 'frozen' });
    await decided('thaw', 'ai');
    expect((await step(digest, 1)).code).toBe('ok');
    expect(await step(digest, 2)).toEqual({ code: 'not-permitted' });
    expect((await status(digest)).state).toBe('failed');
    await decided('expire');
  });

  test('the plan after the last that a world may have open is over budget, and a withdrawn one makes room', async () => {
    const digests: string[] = [];
    for (let number = 1; number <= 16; number += 1)
      digests.push((await propose(plan([START], `Plan ${number}`))).result.digest);
    expect(new Set(digests).size).toBe(16);
    expect(await propose(plan([START], 'Plan 17'))).toEqual({ code: 'over-budget' });
    expect((await propose(plan([START], 'Plan 1'))).result.digest).toBe(digests[0]);
    await harness.ask('@adminvm', 'qmcp.plan.Withdraw', { digest: digests[0] });
    expect((await propose(plan([START], 'Plan 17'))).code).toBe('ok');
  });

  test('a plan of a thousand steps, a plan in a plan and a stream in a plan are refused', async () => {
    expect(await propose(plan(Array(1000).fill(START)))).toEqual({ code: 'invalid-request' });
    for (const [service, params] of [
      ['qmcp.plan.Step', { digest: '0'.repeat(64), number: 1 }],
      ['qmcp.events.Watch', { seconds: 1 }],
      ['qmcp.plan.Approved', {}],
      ['qmcp.Catalog', {}],
    ] as const) {
      const answer = await propose(plan([{ service, params }]));
      expect(answer.result?.digest ?? null, service).toBeNull();
    }
  });

  test('a plan that was withdrawn cannot be approved, and a plan that somebody edited is none', async () => {
    const digest = await proposed(START);
    await harness.ask('@adminvm', 'qmcp.plan.Withdraw', { digest });
    expect((await harness.admin('plan', 'approve', digest.slice(0, 8), '--yes')).code).not.toBe(0);
    const edited = await proposed(START);
    await decided('plan', 'approve', edited.slice(0, 8));
    const path = join(harness.sim.root, 'var/lib/qmcp/plans/ai', `${edited}.plan`);
    writeFileSync(path, readFileSync(path, 'utf8').replace('qmcp.spawn.Start', 'qmcp.spawn.Remove'));
    expect(await step(edited, 1)).toEqual(NOT_FOUND);
    expect(tagsOf('ai-one')).not.toContain('ai-tombstone');
    await decided('expire');
  });
});
