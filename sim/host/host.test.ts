import { describe, expect, test } from 'vitest';
import { eventually } from '../../test/support/waiting.js';
import { visits } from '../../test/support/work.js';
import { decodeReply, encodeRequest } from '../adminapi/messages.js';
import { type HostSpec, loadHostSpec, parseHostSpec } from '../host-spec.js';
import { Host } from './host.js';

function hostOf(world: HostSpec | string = 'demo', options = {}) {
  const host = Host.load(typeof world === 'string' ? loadHostSpec(world) : world, options);
  const ask = async (...request: Parameters<typeof encodeRequest>) =>
    decodeReply(await host.call(encodeRequest(...request)));
  return { host, ask };
}

function large(count: number): HostSpec {
  return {
    properties: { default_template: 'tpl', default_netvm: 'net' },
    qubes: [
      { name: 'tpl', class: 'TemplateVM', label: 'black' },
      {
        name: 'net',
        class: 'AppVM',
        label: 'red',
        template: 'tpl',
        properties: { provides_network: true, netvm: null },
      },
      ...Array.from({ length: count }, (_, at) => ({
        name: `q${at}`,
        class: 'AppVM' as const,
        label: 'red',
        template: 'tpl',
        tags: ['one', 'two'],
      })),
    ],
  };
}

describe('a file that describes a host', () => {
  test('the demo host has one world with one principal, its template and its gateway, and everything else is outside', () => {
    const { host } = hostOf();
    const tagged = host.snapshot().qubes.filter(({ tags }) => tags.includes('ai-managed'));
    expect(tagged.map(({ name }) => name)).toEqual(['ai-debian']);
    expect(host.qube('mcp-control')?.features.get('tag-created-vm-with')).toBe('ai-managed');
    expect(host.qube('sys-ai-net')).toMatchObject({ state: 'Running', netvm: 'sys-firewall' });
    expect(host.qube('vault')).toMatchObject({ state: 'Halted', netvm: null });
  });

  test.each([
    [{ qubes: [] }, '/qubes'],
    [{ qubes: [{ name: 'a', class: 'AppVM', label: 'red', color: 1 }] }, '/qubes/0'],
    [{ qubes: [{ name: 'a', class: 'Nope', label: 'red' }] }, '/qubes/0/class'],
  ])('a malformed host file is refused with the place of the mistake: %#', (value, place) => {
    expect(() => parseHostSpec(value, 'w.json')).toThrow(`w.json: ${place}`);
  });

  test.each([
    [{ name: 'a', class: 'AppVM', label: 'red' }, 'a: /template: AppVM needs one'],
    [
      { name: 'a', class: 'AppVM', label: 'red', template: 'b' },
      'a: /properties/template: there is no qube b',
    ],
    [{ name: 'a', class: 'TemplateVM', label: 'pink' }, 'a: /label: there is no label pink'],
    [{ name: 'a', class: 'TemplateVM', label: 'red', properties: { nope: 1 } }, 'a: /properties/nope'],
  ] as const)('a host file that refers to something missing is refused: %#', (qube, message) => {
    expect(() => Host.load({ qubes: [qube] })).toThrow(message);
  });

  test('a host file that does not exist is refused by name', () => {
    expect(() => loadHostSpec('no-such-world')).toThrow('there is no simulated host no-such-world');
  });
});

describe('a qube created by another', () => {
  test('a qube that another qube created gets its creator’s tags, and a disposable those of its template too', async () => {
    const { host, ask } = hostOf();
    await ask('admin.vm.tag.Set', 'default-dvm', { argument: 'dvm-tag' });
    const tags: Record<string, string[]> = {};
    host.onEvent(({ name, subject }) => {
      if (name === 'domain-create-on-disk' && subject !== null) tags[subject.name] = [...subject.tags].sort();
    });
    await ask('admin.vm.Create.AppVM', 'dom0', {
      argument: 'ai-debian',
      source: 'mcp-control',
      payload: 'name=ai-x label=red',
    });
    expect(tags['ai-x']).toEqual(['ai-managed', 'audiovm-dom0', 'created-by-mcp-control', 'guivm-dom0']);
    const made = await ask('admin.vm.CreateDisposable', 'default-dvm', { source: 'mcp-control' });
    const disposable = host.qube(made.kind === 'ok' ? made.data : '');
    expect([...(disposable?.tags ?? [])].sort()).toEqual([
      'ai-managed',
      'audiovm-dom0',
      'created-by-mcp-control',
      'disp-created-by-mcp-control',
      'dvm-tag',
      'guivm-dom0',
    ]);
    expect(disposable?.features.get('appmenus-dispvm')).toBe('1');
  });

  test('a qube whose creator has a dot in its name is made, gets no tag of its creator, and the caller gets no reply', async () => {
    const { host, ask } = hostOf();
    const template = { argument: 'ai-debian', payload: 'name=mcp.control label=red' };
    expect(await ask('admin.vm.Create.AppVM', 'dom0', template)).toMatchObject({ kind: 'ok' });
    const made = { argument: 'ai-debian', source: 'mcp.control', payload: 'name=ai-x label=red' };
    expect(await ask('admin.vm.Create.AppVM', 'dom0', made)).toMatchObject({ kind: 'none' });
    expect([...(host.qube('ai-x')?.tags ?? [])].filter((tag) => tag.includes('created'))).toEqual([]);
  });
});

describe('a start of a qube', () => {
  test('a start waits for the listeners of power, and the qube is transient until then', async () => {
    const { host, ask } = hostOf();
    let release: () => void = () => {};
    host.onPower(
      (_name, change) =>
        change === 'started' &&
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    );
    const started = ask('admin.vm.Start', 'vault');
    await eventually(() => host.qube('vault')?.state).toBe('Transient');
    expect(await ask('admin.vm.List', 'vault')).toMatchObject({
      data: expect.stringContaining('state=Transient'),
    });
    release();
    expect(await started).toEqual({ kind: 'ok', data: '' });
    expect(host.qube('vault')?.state).toBe('Running');
  });

  test('a start fails like one without qrexec when a listener of power fails', async () => {
    const { host, ask } = hostOf();
    host.onPower(() => Promise.reject(new Error('no shell')));
    expect(await ask('admin.vm.Start', 'vault')).toMatchObject({ kind: 'error', type: 'QubesVMError' });
    expect(host.qube('vault')?.state).toBe('Halted');
  });
});

describe('visibility', () => {
  test('a qube sees no other qube, unless the policy allows it', async () => {
    const { host, ask } = hostOf();
    expect(await ask('admin.vm.List', 'dom0', { source: 'work' })).toEqual({ kind: 'ok', data: '' });
    host.visible = (service, _argument, source, target) =>
      service === 'admin.vm.List' && source === 'work' && target === 'vault';
    expect(await ask('admin.vm.List', 'dom0', { source: 'work' })).toMatchObject({
      data: expect.stringMatching(/^vault class=AppVM state=Halted uuid=\S+\n$/),
    });
  });

  test('the policy sees each qube with the policy daemon’s own field names', () => {
    expect(hostOf().host.system()['default-dvm']).toMatchObject({
      type: 'AppVM',
      tags: ['audiovm-dom0', 'guivm-dom0'],
      power_state: 'Halted',
      default_dispvm: 'default-dvm',
      template_for_dispvms: true,
    });
  });
});

describe('a volume', () => {
  test('the guests are told whose contents a volume took over', async () => {
    const { host, ask } = hostOf();
    const imports: unknown[] = [];
    host.onImport((to, from) => imports.push([to, from]));
    const offer = await ask('admin.vm.volume.CloneFrom', 'work', { argument: 'private' });
    const token = offer.kind === 'ok' ? offer.data : '';
    await ask('admin.vm.volume.CloneTo', 'vault', { argument: 'private', payload: token });
    await ask('admin.vm.volume.Clear', 'vault', { argument: 'private' });
    const [vault, work] = ['vault', 'work'].map((qube) => ({ qube, volume: 'private' }));
    expect(imports).toEqual([
      [vault, work],
      [vault, null],
    ]);
  });

  test('a volume keeps the configured number of revisions, and can return to one', async () => {
    const { ask } = hostOf();
    await ask('admin.vm.volume.Set.revisions_to_keep', 'vault', { argument: 'private', payload: '2' });
    for (let at = 0; at < 3; at++) {
      await ask('admin.vm.Start', 'vault');
      await ask('admin.vm.Shutdown', 'vault', { argument: 'wait' });
    }
    const listed = await ask('admin.vm.volume.ListSnapshots', 'vault', { argument: 'private' });
    const revisions = (listed.kind === 'ok' ? listed.data : '').trim().split('\n');
    expect(revisions).toHaveLength(2);
    const revert = { argument: 'private', payload: revisions[0] as string };
    expect(await ask('admin.vm.volume.Revert', 'vault', revert)).toEqual({ kind: 'ok', data: '' });
  });

  test('a volume of a running qube is outdated after its template has changed', async () => {
    const { ask } = hostOf();
    const info = async () => {
      const reply = await ask('admin.vm.volume.Info', 'work', { argument: 'root' });
      return /is_outdated=(\w+)/.exec(reply.kind === 'ok' ? reply.data : '')?.[1];
    };
    expect(await info()).toBe('False');
    await ask('admin.vm.Start', 'debian-13');
    await ask('admin.vm.Shutdown', 'debian-13', { argument: 'wait' });
    expect(await info()).toBe('True');
  });
});

describe('on a large host', () => {
  test.each<[string, (world: HostSpec) => Promise<number>]>([
    ['loading', (world) => visits(() => Host.load(world))],
    [
      'a list',
      async (world) => {
        const { ask } = hostOf(world);
        await ask('admin.vm.List', 'dom0');
        return visits(() => ask('admin.vm.List', 'dom0'));
      },
    ],
  ])('the work for %s grows at most with the number of qubes', async (_what, work) => {
    const [small, big] = [await work(large(250)), await work(large(2000))];
    expect(small).toBeGreaterThan(250);
    // Eight times the qubes: sorting them takes a little more than eight times the work, a square sixty-four times.
    expect(big / small).toBeLessThan(16);
  });
});
