import { describe, expect, test } from 'vitest';
import { catalogOf, FakeQrexec, ok } from '../../test/support/fake-host.js';
import { Nothing, pluginOf, serviceOf, toolOf, Word } from '../../test/support/plugins.js';
import {
  defineChanges,
  definePlugin,
  definePrompt,
  defineResource,
  defineTargetService,
  type Plugin,
  Refused,
  step,
} from '../api/index.js';
import { boot } from '../boot/boot.js';
import { connectDom0 } from '../boot/catalog.js';
import { graphOf } from '../boot/order.js';
import { parseTemplate } from './addresses.js';

const look = defineTargetService('qmcp.a.Look', {
  effect: 'read',
  capability: 'read',
  params: Nothing,
  invariants: [],
  steps: [step.read({ qube: '$target' })],
  reply: Word,
});
const write = serviceOf('a');
const word = defineResource({
  uri: 'word://{name}',
  name: 'word',
  title: 'A word',
  description: 'A word.',
  mimeType: 'text/plain',
  uses: { look },
  read: async ({ look }, { name }) => ({ text: (await look(name!, {})).word }),
  list: async () => ['word://one', 'word://two'],
  complete: { name: async () => ['one', 'two', 'twelve'] },
});
const ask = definePrompt({
  name: 'ask',
  title: 'Ask',
  description: 'Asks.',
  arguments: [{ name: 'who', description: 'whom', complete: async () => ['ann', 'bob'] }],
  uses: {},
  text: ({ who }) => `Ask ${who ?? 'anybody'}.`,
});
const changes = defineChanges({
  uses: { look },
  async *of() {
    yield 'word://one';
  },
});
const offering = (parts: Partial<Plugin>): Plugin =>
  definePlugin({ id: 'a', apiVersion: 1, title: 'a', services: [look, write], tools: [], ...parts });
const problemsOf = (...plugins: Plugin[]) =>
  graphOf(plugins.map((plugin) => ({ origin: plugin.id, plugin }))).problems.map(({ code, plugin }) => [
    plugin,
    code,
  ]);

const log: string[] = [];
async function loaded(plugin: Plugin, catalog = [plugin]) {
  const qrexec = new FakeQrexec(({ service }) =>
    service === 'qmcp.Catalog' ? ok(catalogOf(catalog)) : ok({ word: 'hello' }),
  );
  const candidates = [{ origin: plugin.id, plugin }];
  return boot({ candidates, ...connectDom0(qrexec, 5), onRefusal: 'skip', log: (line) => log.push(line) });
}
const { signal } = new AbortController();

describe('resources, prompts and changes of a plugin', () => {
  test("resources, prompts and changes are served through the plugin's own services", async () => {
    const host = await loaded(offering({ resources: [word], prompts: [ask], changes }));
    const [resource] = host.resources;
    expect(resource!.match('word://one')).toEqual({ name: 'one' });
    expect(await resource!.read({ name: 'one' }, { signal })).toEqual({ text: 'hello' });
    expect(await resource!.list({ signal })).toEqual(['word://one', 'word://two']);
    expect(await resource!.complete('name', 'tw', { signal })).toEqual(['two', 'twelve']);
    expect(await resource!.complete('constructor', '', { signal })).toEqual([]);
    expect(await host.prompts[0]!.complete('who', '', { signal })).toEqual(['ann', 'bob']);
    const told: string[] = [];
    for await (const uri of host.changes[0]!({ signal })) told.push(uri);
    expect(told).toEqual(['word://one']);
  });

  test('a refused plugin contributes no resources, prompts or changes', async () => {
    const plugin = offering({ resources: [word], prompts: [ask], changes });
    const host = await loaded(plugin, []);
    expect(host.problems.map(({ code }) => code)).toContain('service-missing');
    expect([host.tools, host.resources, host.prompts, host.changes]).toEqual([[], [], [], []]);
  });

  test('a resource handler is constructed once, when its plugin loads', async () => {
    class Counted {
      private times = 0;
      read = async () => ({ text: `${++this.times}` });
    }
    const { read: _, ...shape } = word;
    const resources = [
      { ...shape, handler: Counted },
      { ...shape, uri: 'again://{name}', handler: Counted },
    ];
    const host = await loaded(offering({ resources }));
    expect(await host.resources[0]!.read({}, { signal })).toEqual({ text: '1' });
    expect(await host.resources[1]!.read({}, { signal })).toEqual({ text: '2' });
  });

  test('every error of a resource or prompt becomes a refusal, and its reason is only logged', async () => {
    const failing = (why: Error) => ({ ...word, read: () => Promise.reject(why) }) as never;
    const host = await loaded(offering({ resources: [failing(new Error('secret'))] }));
    await expect(host.resources[0]!.read({ name: 'x' }, { signal })).rejects.toMatchObject({
      code: 'failed',
    });
    expect(log.join()).toContain('secret');
    const refusing = await loaded(offering({ resources: [failing(new Refused('frozen'))] }));
    await expect(refusing.resources[0]!.read({ name: 'x' }, { signal })).rejects.toMatchObject({
      code: 'frozen',
    });
  });
});

describe('checks of resources, prompts and changes', () => {
  test.each<[string, Partial<Plugin>, string]>([
    [
      'an address that clients cannot use',
      { resources: [{ ...word, uri: 'word' } as never] },
      'resource-uri',
    ],
    [
      'a variable without a name in an address',
      { resources: [{ ...word, uri: 'word://{}' } as never] },
      'resource-uri',
    ],
    [
      'a resource that can change something',
      { resources: [{ ...word, uses: { write } } as never] },
      'surface-changes',
    ],
    ['a prompt that can change something', { prompts: [{ ...ask, uses: { write } }] }, 'surface-changes'],
    [
      'a list of changes that can change something',
      { changes: { ...changes, uses: { write } } as never },
      'surface-changes',
    ],
    [
      'a service that it did not declare',
      { resources: [{ ...word, uses: { other: serviceOf('b') } } as never] },
      'surface-uses-undeclared',
    ],
    ['two resources with the same address', { resources: [word, word] }, 'surface-duplicate'],
    ['prompts that are not a list', { prompts: {} as never }, 'plugin-malformed'],
    ['changes that are not an object', { changes: 'all' as never }, 'plugin-malformed'],
  ])('a plugin is refused for %s', (_why, parts, code) => {
    expect(problemsOf(offering(parts)).map(([, found]) => found)).toContain(code);
  });

  test('two plugins with a prompt of the same name are both refused', () => {
    expect(problemsOf(offering({ prompts: [ask] }), pluginOf('b', { prompts: [ask] }))).toEqual([
      ['a', 'surface-duplicate'],
      ['b', 'surface-duplicate'],
    ]);
  });

  test('a plugin with correct resources, prompts and changes is accepted', () => {
    const tools = [toolOf('a_say', write)];
    expect(problemsOf(offering({ tools, resources: [word], prompts: [ask], changes }))).toEqual([]);
  });
});

test('only an address that fits the template exactly is parsed by it', () => {
  const { match } = parseTemplate('qube://{name}');
  expect(match('qube://ai-one')).toEqual({ name: 'ai-one' });
  expect(match('qube://a%20b')).toEqual({ name: 'a b' });
  for (const uri of ['qube://', 'qube://a/b', 'xqube://a', 'qube://a?b', 'qube://%E0%A4%A', 'qube:ai-one'])
    expect(match(uri)).toBeUndefined();
  expect(parseTemplate('qube://').match('qube://')).toEqual({});
  expect(parseTemplate('a://b.c/{d}/e').match('a://bxc/1/e')).toBeUndefined();
});
