import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { python } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { Harness, roomy } from '../support/harness.js';

const COPY = 'qmcp.exec.FileCopy';
let harness: Harness;
const questions: string[] = [];

/** The policy with copies, as the operator's command generates it. */
function withCopies(root: string): void {
  roomy(root);
  const contract = (service: string) => join(root, `etc/qmcp/contracts/${service}.json`);
  if (!existsSync(contract(COPY))) {
    const run = JSON.parse(readFileSync(contract('qmcp.exec.Run'), 'utf8'));
    writeFileSync(contract(COPY), JSON.stringify({ ...run, service: COPY }));
  }
  const admin = packageFile('dom0/operator/qmcp-admin');
  execFileSync(python(), ['-B', admin, '--root', root, 'policy', 'install', '--yes'], { stdio: 'pipe' });
}

beforeAll(async () => {
  harness = await Harness.start({ prepare: withCopies });
  harness.sim.qrexec.operator = ({ source, service }) => {
    questions.push(`${source} ${service}`);
    return null;
  };
  for (const name of ['ai-one', 'ai-two', 'ai-sink'])
    await harness.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', start: true });
  // One sink is also enrolled, at full tier; one is the operator's own, outside.
  for (const name of ['ai-sink', 'personal']) await harness.operator('admin.vm.tag.Set', name, 'ai-dump');
  for (const name of ['personal', 'vault']) await harness.operator('admin.vm.Start', name);
});
afterAll(() => harness.close());

/** Whether qrexec allows files from here to there. */
const goes = async (from: string, to: string) =>
  (await harness.call(to, 'qubes.Filecopy', '', from)).exit !== 126;

// ATTACK 23
describe('a sink', () => {
  it('a sink receives files from the world, whether it is enrolled or outside', async () => {
    expect(await goes('ai-one', 'ai-two')).toBe(true);
    expect(await goes('ai-one', 'ai-sink')).toBe(true);
    expect(await goes('ai-one', 'personal')).toBe(true);
  });

  it('an enrolled sink sends no file to any qube, inside or outside, and nobody is asked', async () => {
    questions.length = 0;
    for (const to of [
      'ai-one',
      'ai-two',
      'ai-debian',
      'mcp-control',
      'sys-ai-net',
      'vault',
      'no-such-qube',
      '@dispvm',
      '@default',
    ])
      expect([to, await goes('ai-sink', to)]).toEqual([to, false]);
    expect(questions).toEqual([]);
  });

  it('an outside sink sends no file into the world', async () => {
    questions.length = 0;
    for (const to of ['ai-one', 'ai-sink']) expect([to, await goes('personal', to)]).toEqual([to, false]);
    expect(questions).toEqual([]);
  });

  it('a sink outside the world stays hidden from it', async () => {
    const missing = await harness.direct('qmcp.inspect.State', 'no-such-qube');
    for (const service of ['inspect.State', 'spawn.Start', 'spawn.Remove'])
      expect(await harness.direct(`qmcp.${service}`, 'personal')).toBe(missing);
    expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('personal');
  });

  it('an agent cannot make or unmake a sink: no copy of a qube is one', async () => {
    await harness.ask('@adminvm', 'qmcp.spawn.Clone', { source: 'ai-sink', name: 'ai-child' });
    expect(harness.qube('ai-child')!.tags).not.toContain('ai-dump');
    await harness.ask('ai-sink', 'qmcp.spawn.Remove');
    await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-sink' });
    expect(harness.qube('ai-sink')!.tags).toContain('ai-dump');
  });
});
