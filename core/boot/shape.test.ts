import { describe, expect, test } from 'vitest';
import { guestService, kept, Nothing, pluginOf, serviceOf, toolOf } from '../../test/support/plugins.js';
import { type Plugin, Type } from '../api/index.js';
import { graphOf } from './order.js';

const graph = (...plugins: unknown[]) =>
  graphOf(plugins.map((plugin, index) => ({ origin: `./plugin-${index}.js`, plugin })));
const codes = (...plugins: unknown[]) =>
  graph(...plugins).problems.map(({ code, plugin }) => `${plugin}: ${code}`);
const messages = (...plugins: unknown[]) =>
  graph(...plugins)
    .problems.map(({ message }) => message)
    .join('\n');
const ids = (...plugins: unknown[]) => graph(...plugins).plugins.map(({ id }) => id);

describe('the plugin graph', () => {
  test('plugins keep the given order, each after the plugins it needs', () => {
    const [a, b, c] = [pluginOf('a', { needs: ['c'] }), pluginOf('b'), pluginOf('c')];
    expect(ids(a, b, c)).toEqual(['c', 'a', 'b']);
    expect(codes(a, b, c)).toEqual([]);
  });

  test.each([
    ['nothing', undefined],
    ['a number', 3],
    ['an id with capitals', pluginOf('Loud')],
    ['an id that is a path', pluginOf('../spawn')],
    ['services that are functions', { ...pluginOf('a'), services: [() => 1] }],
    ['tools without uses', { ...pluginOf('a'), tools: [{}] }],
    [
      'a tool that requires what no client has',
      { ...pluginOf('a'), tools: [toolOf('a_say', serviceOf('a'), { requires: ['wings'] as never })] },
    ],
    ['a prompt without text', { ...pluginOf('a'), prompts: [{ name: 'ask', uses: {} }] }],
    [
      'a prompt with text and messages',
      { ...pluginOf('a'), prompts: [{ name: 'ask', uses: {}, text: () => '', messages: () => [] }] },
    ],
    ['needs that are no list', { ...pluginOf('a'), needs: 'b' }],
    ['a guest service without problems', { ...pluginOf('a'), services: [{ ...guestService, problems: 3 }] }],
    [
      'a problem without its argument',
      { ...pluginOf('a'), services: [{ ...guestService, problems: { full: ['is full'] } }] },
    ],
  ])('a plugin that is or has %s is refused, and the message says what was expected', (_what, plugin) => {
    expect(graph(plugin).problems.map(({ code }) => code)).toEqual(['plugin-malformed']);
    expect(ids(plugin)).toEqual([]);
    expect(messages(plugin)).toMatch(/expected/);
  });

  test('a plugin for another version of the API is refused, and the message names both versions', () => {
    expect(codes(pluginOf('a', { apiVersion: 2 }))).toEqual(['a: plugin-api-version']);
    expect(messages(pluginOf('a', { apiVersion: 2 }))).toMatch(/version 2.*version 1/);
  });

  test('when two plugins have the same id, the message names both origins', () => {
    expect(codes(pluginOf('a'), pluginOf('a'))).toEqual(['a: plugin-duplicate']);
    expect(messages(pluginOf('a'), pluginOf('a'))).toMatch(/plugin-0\.js.*plugin-1\.js/);
  });

  test('a missing plugin that another needs is named', () => {
    expect(codes(pluginOf('a', { needs: ['zz'] }))).toEqual(['a: plugin-needs-missing']);
  });

  test('when plugins need each other in a circle, the message shows the path', () => {
    const plugins = [
      pluginOf('a', { needs: ['b'] }),
      pluginOf('b', { needs: ['c'] }),
      pluginOf('c', { needs: ['a'] }),
    ];
    expect(codes(...plugins)).toEqual(['a: plugin-cycle', 'b: plugin-cycle', 'c: plugin-cycle']);
    expect(messages(...plugins)).toContain('a → b → c → a');
    expect(ids(...plugins)).toEqual([]);
  });

  test('a plugin that needs a plugin of a circle is not reported as part of the circle', () => {
    const plugins = [pluginOf('a', { needs: ['b'] }), pluginOf('b', { needs: ['b'] })];
    expect(codes(...plugins)).toEqual(['b: plugin-cycle']);
  });

  test('a plugin with a service outside its namespace is refused', () => {
    for (const name of ['qmcp.spawn.Create', 'qubes.VMShell', 'qmcp.a.lower', 'qmcp.a.B.C', 'qmcp.a.']) {
      const service = { ...serviceOf('a'), name };
      expect(codes({ ...pluginOf('a'), services: [service], tools: [] })).toEqual(['a: service-namespace']);
    }
  });

  test('a plugin that declares a service twice is refused', () => {
    expect(codes(pluginOf('a', { services: [serviceOf('a'), serviceOf('a')], tools: [] }))).toEqual([
      'a: service-duplicate',
    ]);
  });

  test('when two plugins have a tool of the same name, both are refused, and each message names the other', () => {
    const [one, two] = [serviceOf('one'), serviceOf('two')];
    const plugins = [
      pluginOf('one', { services: [one], tools: [toolOf('same', one)] }),
      pluginOf('two', { services: [two], tools: [toolOf('same', two)] }),
    ];
    expect(codes(...plugins)).toEqual(['one: tool-duplicate', 'two: tool-duplicate']);
    expect(messages(...plugins)).toMatch(/"two".*\n.*"one"/);
  });

  test('a tool may use only services that its own plugin declares', () => {
    const [own, other] = [serviceOf('a'), serviceOf('b')];
    expect(codes(pluginOf('a', { services: [own], tools: [toolOf('x', other)] }))).toEqual([
      'a: tool-uses-undeclared',
    ]);
    const twin = serviceOf('a');
    expect(codes(pluginOf('a', { services: [own], tools: [toolOf('x', twin)] }))).toEqual([
      'a: tool-uses-undeclared',
    ]);
  });

  test('a tool that writes or destroys must uphold an invariant that its services declare', () => {
    const service = serviceOf('a');
    const withTool = (changes: object) =>
      codes(pluginOf('a', { services: [service], tools: [toolOf('x', service, changes)] }));
    expect(withTool({ upholds: [] })).toEqual(['a: tool-upholds-nothing']);
    expect(withTool({ upholds: [], effect: 'destroy' })).toEqual(['a: tool-upholds-nothing']);
    expect(withTool({ upholds: [], effect: 'read' })).toEqual([]);
    const invented = { ...kept, id: 'mine.alone' };
    expect(withTool({ upholds: [invented] })).toEqual(['a: tool-upholds-undeclared']);
  });

  test('a tool needs a plain name, object schemas and exactly one behaviour', () => {
    const service = serviceOf('a');
    const withTool = (name: string, changes: object = {}) =>
      codes(pluginOf('a', { services: [service], tools: [toolOf(name, service, changes)] }));
    expect(withTool('Has Spaces')).toEqual(['a: tool-name']);
    expect(withTool('x\u202e')).toEqual(['a: tool-name']);
    expect(withTool('x', { output: Type.String() })).toEqual(['a: tool-schema']);
    expect(withTool('x', { input: Type.Union([Nothing]) })).toEqual(['a: tool-schema']);
    expect(withTool('x', { run: undefined })).toEqual(['a: tool-behaviour']);
  });

  test('every problem of every plugin is reported at once, and plugins without a problem are kept', () => {
    const broken = pluginOf('a', { services: [serviceOf('b')], needs: ['zz'] });
    expect(codes(broken, pluginOf('c', { apiVersion: 9 }), pluginOf('d'))).toEqual([
      'c: plugin-api-version',
      'a: service-namespace',
      'a: tool-uses-undeclared',
      'a: plugin-needs-missing',
    ]);
    expect(ids(broken, pluginOf('d'))).toEqual(['d']);
  });

  test('nobody can change a plugin after it was checked, not even its author', () => {
    const original = { ...pluginOf('a') } as { -readonly [K in keyof Plugin]: Plugin[K] };
    const [loaded] = graph(original).plugins;
    original.id = 'b';
    (original as { tools: unknown }).tools = [];
    expect(loaded).toMatchObject({ id: 'a', tools: [{ name: 'a_say' }] });
    expect(() => Object.assign(loaded!.tools[0]!, { effect: 'read' })).toThrow(TypeError);
    expect(() => Object.assign(loaded!.services[0]!.invariants[0]!.with, { limit: 9 })).toThrow(TypeError);
    expect(() => Object.assign(loaded!.tools[0]!.input, { additionalProperties: true })).toThrow(TypeError);
  });
});
