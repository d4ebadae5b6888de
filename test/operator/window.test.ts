/** The operator's window as a screen reader finds it, on a simulated host with the shipped qmcpd and qmcp-admin. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { noScreen, Screen } from '../support/screen.js';
import { eventually, until } from '../support/waiting.js';

const why = noScreen();

describe.skipIf(why !== undefined)(`the operator's window${why ? ` (skipped: ${why})` : ''}`, () => {
  let harness: Harness;
  let screen: Screen;
  beforeEach(async () => {
    harness = await Harness.start();
  });
  afterEach(async () => {
    await screen.close();
    await harness.close();
  });

  const at = (path: string) => join(harness.sim.root, path);
  const open = async () => {
    screen = Screen.open(harness.sim.root);
    await screen.shows('FREEZE');
  };
  const spawn = (name: string) =>
    harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });

  it('the window shows the qubes of the worlds, and what becomes of them without being asked', async () => {
    await spawn('ai-one');
    await open();
    await screen.shows(/^ai-one\nai\nHalted$/m);
    await harness.ask('ai-one', 'qmcp.spawn.Start');
    await screen.shows(/^ai-one\nai\nRunning$/m);
    await screen.tab('Activity');
    await screen.shows('qmcp.spawn.Start');
    expect(await screen.text()).not.toContain('vault');
  });

  it('the window freezes every world with one press while qmcp.toml is broken', async () => {
    writeFileSync(at('etc/qmcp/qmcp.toml'), 'broken');
    await open();
    await screen.shows('Not all of this is up to date');
    expect(await screen.text()).toMatch(/qmcp-admin --root \S+ freeze --json --yes$/m);
    await screen.press('FREEZE');
    await screen.shows('frozen: all');
    expect(existsSync(at('var/lib/qmcp/frozen/all'))).toBe(true);
    expect((await harness.ask('@adminvm', 'qmcp.inspect.List')).code).not.toBe('ok');
  });

  it('the window freezes with one press after qmcpd and qubesd are gone', async () => {
    await open();
    await screen.shows('ai-debian');
    await harness.sim.close();
    await screen.shows('qubesd does not answer');
    await screen.tick('pause');
    await screen.press('FREEZE');
    await screen.shows('qubesd does not answer');
    await until(() => existsSync(at('var/lib/qmcp/frozen/all')));
  });

  it('the window restores a removed qube, and shows the command before it runs', async () => {
    await spawn('ai-one');
    const before = harness.qube('ai-one');
    await harness.ask('ai-one', 'qmcp.spawn.Remove');
    await open();
    await screen.tab('Removed');
    await screen.row('ai-one');
    await screen.press('Restore...');
    await screen.shows(/qmcp-admin --root \S+ restore ai-one --json --yes$/m);
    const removed = harness.truth();
    await screen.press('Cancel');
    await screen.press('Restore...');
    expect(harness.truth()).toBe(removed);
    await screen.press('OK');
    await eventually(() => harness.qube('ai-one')).toEqual(before);
    await screen.shows('restored ai-one');
  });

  it('a temporary grant that ends while it is shown leaves the window', async () => {
    await harness.operator('admin.vm.tag.Set', 'work', 'ai-managed');
    expect(await harness.admin('tier', 'work', 'exec', '--for', '30m', '--yes')).toMatchObject({ code: 0 });
    await open();
    await screen.tab('Grants');
    await screen.shows(/^0 h (30|29) min \d\d s$/m);
    await harness.admin('expire', '--all');
    await until(async () => !(await screen.text()).includes(' min '));
    expect(harness.qube('work')?.tags).not.toContain('ai-exec');
  });

  it('words of an agent are shown as they are: escaped, on one line, without markup', async () => {
    await open();
    // Straight to qmcpd: the qrexec policy would not let such a name through.
    await harness.direct('qmcp.spawn.Start', '<b>bold</b> https://x.example', {});
    await screen.tab('Activity');
    await spawn('ai-one');
    await screen.shows('qmcp.spawn.Create');
    const cells = await screen.names('table cell');
    expect(cells.filter((cell) => /[^ -~]/.test(cell))).toEqual([]);
  });

  it('the window approves the plan that is on display, and exactly that happens', async () => {
    await harness.admin('enroll', 'vault', '--world', 'ai', '--yes');
    const title = '<b>Tidy up</b> https://x.example';
    const steps = [{ service: 'qmcp.spawn.Start', target: 'vault', params: {} }];
    const plan = JSON.stringify({ title, reason: 'It is late.', steps });
    const { digest } = (await harness.ask('@adminvm', 'qmcp.plan.Propose', { plan })).result;
    await open();
    await screen.tab('Plans (1)');
    await screen.row(digest.slice(0, 8));
    await screen.shows(/NEEDS YOUR YES: vault has the tier read/);
    expect(await screen.text()).toContain(title);
    await screen.end();
    await screen.press('Approve...');
    await screen.shows(new RegExp(` plan approve ${digest} --for 1h --output agent --json --yes$`, 'm'));
    await screen.press('OK');
    await screen.shows('Plans (0)');
    expect((await harness.ask('@adminvm', 'qmcp.plan.Step', { digest, number: 1 })).code).toBe('ok');
    expect(harness.qube('vault')?.state).toBe('Running');
  });

  it('the window approves no plan whose end was not on the screen, and rejects it', async () => {
    await harness.admin('enroll', 'vault', '--world', 'ai', '--yes');
    const command = Array.from({ length: 300 }, (_, line) => `echo ${line}`).join('\n');
    const plan = JSON.stringify({
      title: 'Long',
      reason: 'It is long.',
      steps: [{ qube: 'vault', command }],
    });
    const { digest } = (await harness.ask('@adminvm', 'qmcp.plan.Propose', { plan })).result;
    await open();
    await screen.tab('Plans (1)');
    await screen.row(digest.slice(0, 8));
    await screen.shows('Approve is off until the end of the plan was on the screen.');
    const approve = (await screen.look()).find(({ name }) => name === 'Approve...');
    expect(approve).toMatchObject({ role: 'push button', sensitive: false });
    await screen.press('Reject...');
    await screen.press('OK');
    await screen.shows(`rejected: ${digest.slice(0, 8)}`);
    expect((await harness.ask('@adminvm', 'qmcp.plan.Step', { digest, number: 1 })).code).not.toBe('ok');
  });
});
