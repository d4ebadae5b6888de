import { describe, expect, test } from 'vitest';
import { Host } from '../../host/host.js';
import { loadHostSpec } from '../../host-spec.js';
import { encodeRequest } from '../messages.js';
import { normalise } from './normalise.js';
import { type Exchange, releaseOf } from './recording.js';
import { hostChanges, replay } from './replay.js';
import { parseEvents } from './streams.js';
import { Translation } from './translate.js';

/** Records exchanges of one of our own hosts. */
async function record(
  host: Host,
  requests: readonly Parameters<typeof encodeRequest>[],
): Promise<Exchange[]> {
  const exchanges: Exchange[] = [];
  for (const request of requests) {
    const bytes = encodeRequest(...request);
    const reply = await host.call(bytes);
    exchanges.push({
      request: Buffer.from(bytes).toString('latin1'),
      response: Buffer.from(reply).toString('latin1'),
    });
  }
  return exchanges;
}

const REQUESTS: readonly Parameters<typeof encodeRequest>[] = [
  ['admin.vm.List', 'dom0'],
  ['admin.property.GetAll', 'dom0'],
  ['admin.vm.property.Get', 'mcp-control', { argument: 'label' }],
  ['admin.vm.property.Get', 'mcp-control', { argument: 'default_dispvm' }],
  ['admin.vm.property.Get', 'sys-firewall', { argument: 'provides_network' }],
  ['admin.vm.property.Get', 'sys-firewall', { argument: 'netvm' }],
  ['admin.vm.feature.Get', 'mcp-control', { argument: 'tag-created-vm-with' }],
  ['admin.vm.Create.AppVM', 'dom0', { source: 'mcp-control', payload: 'name=x label=red' }],
  ['admin.vm.tag.List', 'x'],
  ['admin.vm.CreateDisposable', 'mcp-control'],
  ['admin.vm.Start', 'x'],
  ['admin.vm.List', 'dom0'],
];

describe('a replay', () => {
  test('a recording of another host is replayed on a host made from what the recording shows', async () => {
    const exchanges = await record(Host.load(loadHostSpec('demo'), { seed: 5 }), REQUESTS);
    const outcomes = await replay(exchanges, { api: '4.4' });
    expect(
      outcomes.filter(({ identical }) => !identical).map(({ request, ours }) => [request, ours]),
    ).toEqual([]);
  });

  test('a replay reports a reply that differs', async () => {
    const exchanges = await record(Host.load(loadHostSpec('recorded')), [
      ['admin.vm.tag.Get', 'work', { argument: 'a' }],
    ]);
    const lie = exchanges.map(({ request }) => ({ request, response: '0\x001' }));
    expect((await replay(lie, { api: '4.4' })).map(({ identical }) => identical)).toEqual([false]);
  });

  test('a replay follows the recorder to its next host', async () => {
    const requests: readonly Parameters<typeof encodeRequest>[] = [
      ['admin.vm.List', 'dom0'],
      ['admin.vm.tag.Set', 'work', { argument: 'a' }],
      ['admin.vm.tag.Get', 'work', { argument: 'a' }],
      ['admin.vm.tag.Get', 'work', { argument: 'a' }],
      ['admin.vm.List', 'dom0'],
    ];
    const first = await record(Host.load(loadHostSpec('recorded'), { seed: 1 }), requests.slice(0, 3));
    const second = await record(Host.load(loadHostSpec('recorded'), { seed: 2 }), requests.slice(3));
    const exchanges = [...first, ...second];
    expect(hostChanges(exchanges)).toEqual([[1, 4]]);
    expect((await replay(exchanges, { api: '4.4' })).every(({ identical }) => identical)).toBe(true);
  });

  test('a replay recognizes the release by replies that only it gives', async () => {
    for (const api of ['4.2', '4.3', '4.4'] as const) {
      const host = Host.load(loadHostSpec('recorded'), { api });
      const exchanges = await record(host, [
        ['admin.vm.List', 'dom0'],
        ['admin.vm.List', 'dom0', { argument: 'x' }],
      ]);
      expect(releaseOf(exchanges, 'recording.jsonl')).toBe(api);
    }
  });
});

describe('normalisation', () => {
  test('normalisation removes what chance and the machine decide, and nothing else', () => {
    expect(normalise('admin.vm.CurrentState+ dom0 name a\0', '0\0mem=5 cputime=0 power_state=Running')).toBe(
      '0\0mem=N cputime=0 power_state=Running',
    );
    expect(normalise('admin.pool.Info+p dom0 name dom0\0', '0\0name=p\nsize=12\n')).toBe(
      '0\0name=p\nsize=N\n',
    );
    const volume = '0\0size=12\nusage=3\n';
    expect(normalise('admin.vm.volume.Info+root dom0 name a\0', volume)).toBe(volume);
    const address = '0\0default=True type=str 10.137.0.5';
    expect(normalise('admin.vm.property.Get+ip dom0 name a\0', address)).toBe(address);
  });

  test('a generated value must stand for the same thing in the whole recording', () => {
    const translation = new Translation();
    const [a, b] = ['11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222'];
    expect(translation.same(`x uuid=${a}`, `x uuid=${b}`)).toBe(true);
    expect(translation.request(`admin.vm.List+ dom0 name uuid:${a}\0`)).toBe(
      `admin.vm.List+ dom0 name uuid:${b}\0`,
    );
    expect(translation.same(`x uuid=${a}`, `x uuid=${a}`)).toBe(false);
    expect(translation.same(`x uuid=${b}`, `x uuid=${b}`)).toBe(false);
    expect(translation.same('disp1', 'disp22')).toBe(true);
    translation.keepFixed('admin.vm.Create.AppVM+ dom0 name dom0\0name=disp7 label=red');
    expect(translation.same('disp7', 'disp8')).toBe(false);
  });

  test('an event is parsed field by field, also empty values', () => {
    expect(parseEvents('1\0\0a\0\x001\0q\0b\0value\0\0oldvalue\0x\0\0')).toEqual([
      { subject: '', name: 'a', args: [] },
      {
        subject: 'q',
        name: 'b',
        args: [
          ['value', ''],
          ['oldvalue', 'x'],
        ],
      },
    ]);
  });
});
