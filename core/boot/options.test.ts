import { describe, expect, test } from 'vitest';
import { catalogOf, FakeQrexec, ok } from '../../test/support/fake-host.js';
import { kept, pluginOf, serviceOf, toolOf } from '../../test/support/plugins.js';
import { type Plugin, type RunContext, Type } from '../api/index.js';
import { boot } from './boot.js';
import { connectDom0 } from './catalog.js';

const Options = Type.Object(
  { greeting: Type.String(), times: Type.Optional(Type.Integer()) },
  { additionalProperties: false },
);
const service = serviceOf('own');
const context = { signal: new AbortController().signal, progress: () => {} };

/** A plugin whose tool says what it was given. */
function greeter(options: unknown, read: (context: RunContext) => unknown): Plugin {
  const run = async (_ports: unknown, _input: unknown, context: RunContext) => ({
    word: JSON.stringify(read(context)),
  });
  const tool = toolOf('own_say', service, { upholds: [kept], run } as never);
  return pluginOf('own', { services: [service], tools: [tool], options: options as never });
}
const hostOf = (plugin: Plugin, options?: Record<string, unknown>) =>
  boot({
    candidates: [plugin, pluginOf('other')].map((each) => ({ origin: each.id, plugin: each })),
    ...connectDom0(new FakeQrexec(() => ok(catalogOf([plugin, pluginOf('other')]))), 5),
    onRefusal: 'skip',
    log: () => {},
    ...(options && { options }),
  });
const said = async (plugin: Plugin, options?: Record<string, unknown>) => {
  const host = await hostOf(plugin, options);
  expect(host.problems).toEqual([]);
  return (await host.tools[0]!.call({ qube: 'x' }, context)).word;
};

describe('the options of a plugin', () => {
  const reading = greeter(Options, (told) => told.options(Options));

  test("the options of a plugin reach its own tools and no other plugin's", async () => {
    const given = { own: { greeting: 'Hi' }, other: { greeting: 'secret' } };
    expect(await said(reading, given)).toBe('{"greeting":"Hi"}');
  });

  test.each([
    ['do not fit the schema', { own: { greeting: 3 } }, /greeting must be string/],
    ['have an unknown key', { own: { greeting: 'Hi', colour: 'red' } }, /additional properties/],
    ['are required and missing', undefined, /greeting/],
  ])('options that %s keep that plugin out, and no other', async (_what, given, why) => {
    const host = await hostOf(reading, given);
    expect(host.plugins.map(({ id }) => id)).toEqual(['other']);
    expect(host.problems).toMatchObject([
      { code: 'plugin-options', plugin: 'own', message: expect.stringMatching(why) },
    ]);
  });

  test("options can be read only with the schema of the plugin's definition, and cannot be changed", async () => {
    const other = greeter(Options, (told) => told.options(Type.Object({})));
    const host = await hostOf(other, { own: { greeting: 'Hi' } });
    await expect(host.tools[0]!.call({ qube: 'x' }, context)).rejects.toMatchObject({ code: 'failed' });
    const given = { own: { greeting: 'Hi' } };
    const changing = greeter(Options, (told) => Object.isFrozen(told.options(Options)));
    expect(await said(changing, given)).toBe('true');
    expect(Object.isFrozen(given.own)).toBe(false);
  });
});
