import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Harness, roomy } from '../support/harness.js';

// The platform's default policy is loaded after ours: what is closed here is closed on a real host.
let harness: Harness;
let disposable: string;
const questions: string[] = [];
beforeAll(async () => {
  harness = await Harness.start({
    prepare: (root) => {
      roomy(root);
      // Rules that an operator may add for all other qubes, in a file that sorts after ours.
      const wide = 'qubes.ReceiveUpdates * @anyvm @adminvm allow\nadmin.vm.List * @anyvm @adminvm allow\n';
      writeFileSync(join(root, 'etc/qubes/policy.d/50-operator.policy'), wide);
    },
  });
  harness.sim.qrexec.operator = ({ source, service }) => {
    questions.push(`${source} ${service}`);
    return null;
  };
  for (const name of ['ai-one', 'ai-peer', 'ai-gone'])
    await harness.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', start: true });
  await harness.call('ai-gone', 'qmcp.spawn.Remove');
  await harness.operator('admin.vm.Start', 'ai-gone');
  await harness.operator('admin.vm.property.Set', 'ai-one', 'template_for_dispvms', 'True');
  disposable = await harness.operator('admin.vm.CreateDisposable', 'ai-one');
  await harness.operator('admin.vm.Start', disposable);
});
afterAll(async () => {
  await harness.close();
});

const BOOT = ['GetRandomizedTime', 'FeaturesRequest', 'NotifyTools', 'NotifyUpdates', 'SyncAppMenus'].map(
  (name) => `qubes.${name}`,
);
const GUEST = [
  'qubes.VMShell',
  'qubes.VMRootShell',
  'qubes.VMExec',
  'qubes.VMExecGUI',
  'qubes.StartApp',
  'qubes.OpenURL',
  'qubes.OpenInVM',
  'qubes.GetImageRGBA',
  'qubes.Filecopy',
  'qubes.ConnectTCP',
  'qubes.ConnectTCP+22',
  'qubes.UpdatesProxy',
  'qubes.Notifications',
];
const DOM0 = [
  'admin.vm.List',
  'admin.vm.tag.Set+ai-full',
  'admin.Events',
  'admin.vm.CreateDisposable',
  'policy.List',
  'policy.Replace+30-qmcp',
  'qubes.ReceiveUpdates',
];
const OURS = [
  'qmcp.Catalog',
  'qmcp.inspect.List',
  'qmcp.inspect.State',
  'qmcp.spawn.Create',
  'qmcp.spawn.Start',
  'qmcp.exec.Run',
];
const TARGETS = [
  '@dispvm',
  '@dispvm:default-dvm',
  '@dispvm:ai-one',
  '@default',
  '@adminvm',
  'dom0',
  '@anyvm',
  '@tag:ai-full',
  'mcp-control',
  'ai-peer',
  'sys-ai-net',
  'sys-net',
  'vault',
  'no-such-qube',
];

/** The exit code of qrexec-client-vm when the policy denies. */
const refused = async (source: string, target: string, service: string) =>
  (await harness.call(target, service, '', source)).exit === 126;

async function reached(source: string, services: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const target of TARGETS)
    for (const service of services)
      if (!(await refused(source, target, service))) found.push(`${service} on ${target}`);
  return found;
}

describe('a control: qubes outside the world', () => {
  it('a qube outside the world runs commands in disposables, and the operator is asked about other targets', async () => {
    expect(await refused('work', '@dispvm', 'qubes.VMShell')).toBe(false);
    questions.length = 0;
    await harness.call('personal', 'qubes.Filecopy', '', 'work');
    expect(questions).toEqual(['work qubes.Filecopy']);
    for (const service of ['qubes.ReceiveUpdates', 'admin.vm.List'])
      expect(await refused('work', '@adminvm', service)).toBe(false);
  });
});

// ATTACK 18
// INVARIANT policy.closed
// INVARIANT scope.existence-hidden
// INVARIANT crash.no-residue
describe('a qube inside the world', () => {
  const sources: Record<string, () => string> = {
    'a qube': () => 'ai-one',
    'a removed qube': () => 'ai-gone',
    'a disposable that the operator made of a qube': () => disposable,
  };
  /** An agent could carry files there itself: the platform's own copy is open between qubes in which it may run commands. */
  const copies = (who: string) => (who === 'a qube' ? ['qubes.Filecopy on ai-peer'] : []);
  for (const [who, source] of Object.entries(sources))
    it(`${who}: gets the date and copies files, and nothing else, without a question to the operator`, async () => {
      expect(await refused(source(), '@default', 'qubes.GetDate')).toBe(false);
      questions.length = 0;
      expect(await reached(source(), [...GUEST, ...DOM0, ...OURS])).toEqual(copies(who));
      expect(questions).toEqual([]);
    });

  it('a principal reaches only the services of its own lines', async () => {
    questions.length = 0;
    expect(await reached('mcp-control', [...GUEST, ...DOM0])).toEqual([]);
    expect(questions).toEqual([]);
  });

  it('a qube cannot learn by any service whether a name outside the world exists', async () => {
    for (const source of ['ai-one', 'ai-gone', 'mcp-control', disposable])
      for (const service of ['qubes.GetDate', ...BOOT, ...GUEST, ...DOM0, ...OURS]) {
        const seen = async (target: string) => {
          const { exit, stdout } = await harness.call(target, service, '{}', source);
          return { exit, stdout: stdout.replace(/\d/g, '0') };
        };
        const missing = await seen('no-such-qube');
        for (const hidden of ['vault', 'work', 'sys-net', 'debian-13'])
          expect(await seen(hidden), `${source}: ${service} on ${hidden}`).toEqual(missing);
        expect(await seen('@dispvm:default-dvm'), `${source}: ${service} on a disposable`).toEqual(
          await seen('@dispvm:no-such-qube'),
        );
      }
  });
});
