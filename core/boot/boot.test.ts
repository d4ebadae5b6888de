import { describe, expect, test } from 'vitest';
import { catalogOf, denied, exited, FakeQrexec, ok, refused } from '../../test/support/fake-host.js';
import { kept, OneQube, pluginOf, serviceOf, toolOf, Word } from '../../test/support/plugins.js';
import { gate, turn } from '../../test/support/waiting.js';
import {
  defineTool,
  inject,
  injectable,
  type Plugin,
  type Port,
  portOf,
  Refused,
  type ToolContext,
} from '../api/index.js';
import { boot } from './boot.js';
import { connectDom0 } from './catalog.js';
import { BootError } from './problems.js';

const context: ToolContext = { signal: new AbortController().signal, progress: () => {} };
const logged: string[] = [];

/** A host whose dom0 has the contracts of `installed` and answers every other call with `say`. */
function hostOf(
  plugins: readonly Plugin[],
  { installed = plugins, onRefusal = 'exit' as 'exit' | 'skip', say = ok({ word: 'hello' }) } = {},
) {
  const qrexec = new FakeQrexec(({ service }) =>
    service === 'qmcp.Catalog' ? ok(catalogOf(installed)) : say,
  );
  const candidates = plugins.map((plugin) => ({ origin: plugin.id, plugin }));
  const log = (line: string) => logged.push(line);
  return boot({ candidates, ...connectDom0(qrexec, 5), onRefusal, log });
}

const own = serviceOf('own');
const foreign = serviceOf('foreign');

@injectable()
class Sayer {
  static disposed: string[] = [];
  constructor(@inject(portOf(own)) private readonly say: Port<typeof own>) {}
  run({ qube }: { qube: string }, { signal }: ToolContext) {
    return this.say(qube, {}, signal);
  }
  dispose() {
    Sayer.disposed.push('own');
  }
}

@injectable()
class Thief {
  constructor(@inject(portOf(foreign)) readonly say: Port<typeof foreign>) {}
  async run() {
    return { word: 'stolen' };
  }
}

const withHandler = (id: string, service: ReturnType<typeof serviceOf>, handler: unknown): Plugin =>
  pluginOf(id, {
    services: [service],
    tools: [
      defineTool({
        name: `${id}_tool`,
        title: 'A tool',
        description: 'A tool.',
        effect: 'write',
        input: OneQube,
        output: Word,
        uses: { say: service },
        upholds: [kept],
        handler: handler as never,
      }),
    ],
  });

describe('loading plugins', () => {
  test('the tools of accepted plugins are served in order', async () => {
    const host = await hostOf([pluginOf('b'), pluginOf('a')]);
    expect(host.tools.map(({ tool }) => tool.name)).toEqual(['b_say', 'a_say']);
    expect(await host.tools[0]!.call({ qube: 'ai-one' }, context)).toEqual({ word: 'hello' });
  });

  test('the server does not start when a plugin is refused, and the error has every problem', async () => {
    const booting = hostOf([pluginOf('a'), pluginOf('b'), pluginOf('c', { apiVersion: 7 })], {
      installed: [],
    });
    await expect(booting).rejects.toBeInstanceOf(BootError);
    await expect(booting).rejects.toMatchObject({
      problems: [
        { code: 'plugin-api-version', plugin: 'c' },
        { code: 'service-missing', plugin: 'a' },
        { code: 'service-missing', plugin: 'b' },
      ],
    });
  });

  test('with onRefusal skip, the server starts without a refused plugin, and that plugin contributes nothing', async () => {
    const host = await hostOf([pluginOf('a'), pluginOf('b')], {
      installed: [pluginOf('b')],
      onRefusal: 'skip',
    });
    expect(host.plugins.map(({ id }) => id)).toEqual(['b']);
    expect(host.tools.map(({ tool }) => tool.name)).toEqual(['b_say']);
    expect(host.problems.map(({ code, plugin }) => `${plugin} ${code}`)).toEqual(['a service-missing']);
  });

  test('a plugin that fails to start does not affect the others', async () => {
    const host = await hostOf([withHandler('own', own, Thief), pluginOf('b')], { onRefusal: 'skip' });
    expect(host.plugins.map(({ id }) => id)).toEqual(['b']);
    expect(host.problems).toMatchObject([{ code: 'plugin-start-failed', plugin: 'own' }]);
  });

  test('a plugin that needs a refused plugin is refused, at any depth and for any reason', async () => {
    const chain = (first: Plugin) => [
      first,
      pluginOf('b', { needs: [first.id] }),
      pluginOf('c', { needs: ['b'] }),
      pluginOf('d'),
    ];
    const reasons = async (first: Plugin, installed: readonly Plugin[]) => {
      const host = await hostOf(chain(first), { installed, onRefusal: 'skip' });
      expect(host.plugins.map(({ id }) => id)).toEqual(['d']);
      return host.problems.map(({ plugin, code }) => `${plugin} ${code}`);
    };
    const rest = ['b plugin-needs-refused', 'c plugin-needs-refused'];
    const missing = pluginOf('a');
    expect(await reasons(missing, chain(missing).slice(1))).toEqual(['a service-missing', ...rest]);
    const malformed = pluginOf('a', { services: [serviceOf('z')], tools: [] });
    expect(await reasons(malformed, chain(malformed))).toEqual(['a service-namespace', ...rest]);
    const broken = withHandler('own', own, Thief);
    expect(await reasons(broken, chain(broken))).toEqual(['own plugin-start-failed', ...rest]);
  });

  test('the handlers of a plugin share its parts, and no other plugin has them', async () => {
    class Counter {
      count = 0;
    }
    const counting = () =>
      class {
        constructor(readonly counter: Counter) {}
        async run() {
          this.counter.count += 1;
          return { word: String(this.counter.count) };
        }
      };
    const plugins = ['one', 'two'].map((id) => {
      const service = serviceOf(id);
      const tools = ['a', 'b'].map((name) => {
        const handler = counting();
        inject(Counter)(handler, undefined, 0);
        injectable()(handler);
        return toolOf(`${id}_${name}`, service, { run: undefined, handler } as never);
      });
      return pluginOf(id, { services: [service], tools, parts: [Counter] });
    });
    const host = await hostOf(plugins);
    const words: unknown[] = [];
    for (const tool of host.tools) words.push((await tool.call({ qube: 'ai-one' }, context)).word);
    expect(words).toEqual(['1', '2', '1', '2']);
  });

  test('a handler gets the ports of its own plugin, and is disposed at the end', async () => {
    const host = await hostOf([withHandler('own', own, Sayer)]);
    expect(await host.tools[0]!.call({ qube: 'ai-one' }, context)).toEqual({ word: 'hello' });
    await host.dispose();
    expect(Sayer.disposed).toEqual(['own']);
  });

  test.each([1, 3])(
    'as many calls as dom0 allows the world are in progress at once: %i',
    async (concurrent_calls) => {
      const [plugin, end] = [pluginOf('a'), gate()];
      let inProgress = 0;
      const qrexec = new FakeQrexec(async ({ service }) => {
        if (service === 'qmcp.Catalog') return ok({ ...catalogOf([plugin]), concurrent_calls });
        inProgress += 1;
        await end.opened;
        return ok({ word: 'hello' });
      });
      const { tools } = await boot({
        candidates: [{ origin: 'a', plugin }],
        ...connectDom0(qrexec, 5),
        onRefusal: 'exit',
        log: () => {},
      });
      const calls = [1, 2, 3, 4].map(() => tools[0]!.call({ qube: 'x' }, context));
      await turn();
      expect(inProgress).toBe(concurrent_calls);
      end.open();
      expect(await Promise.all(calls)).toHaveLength(4);
    },
  );

  test('a plugin cannot resolve the port of another plugin, loaded or not', async () => {
    const victim = pluginOf('foreign', { services: [foreign], tools: [toolOf('foreign_say', foreign)] });
    const booting = hostOf([victim, withHandler('own', own, Thief)]);
    await expect(booting).rejects.toMatchObject({
      problems: [{ code: 'plugin-start-failed', plugin: 'own' }],
    });
  });

  test('every plugin is refused when dom0 does not answer', async () => {
    const candidates = [{ origin: 'a', plugin: pluginOf('a') }];
    const withAnswer = (answer: ReturnType<typeof exited>) =>
      boot({
        candidates,
        ...connectDom0(new FakeQrexec(() => answer), 5),
        onRefusal: 'exit',
        log: () => {},
      });
    await expect(withAnswer(denied)).rejects.toThrow(/catalog-unavailable.*refused by the qrexec policy/);
    await expect(withAnswer(exited(''))).rejects.toThrow(/nobody answered/);
    await expect(withAnswer(refused('not-found'))).rejects.toThrow(/refusal not-found/);
    await expect(withAnswer(ok({ format: 2 }))).rejects.toThrow(/format this release does not know/);
  });
});

describe('a call of a tool', () => {
  const toolThat = async (run: () => unknown) => {
    const service = serviceOf('a');
    const tool = toolOf('a_say', service, { run: async () => run() } as never);
    const host = await hostOf([pluginOf('a', { services: [service], tools: [tool] })]);
    return host.tools[0]!;
  };

  test('a call with malformed arguments never reaches the tool, and the refusal describes only their form', async () => {
    let reached = false;
    const tool = await toolThat(() => {
      reached = true;
    });
    const error = await tool.call({ qube: 3, host: 'vault' }, context).catch((reason) => reason);
    expect(error).toBeInstanceOf(Refused);
    expect(error.code).toBe('invalid-request');
    expect(error.data).toEqual({
      problems: [
        { at: '/host', problem: 'is unknown; allowed: qube' },
        { at: '/qube', problem: 'must be string' },
      ],
    });
    expect(JSON.stringify(error.data)).not.toContain('vault');
    expect(reached).toBe(false);
  });

  test('a call whose tool throws anything is `failed`, and the reason is logged for the operator', async () => {
    logged.length = 0;
    const tool = await toolThat(() => {
      throw new Error('vault is at 10.137.0.9');
    });
    await expect(tool.call({ qube: 'x' }, context)).rejects.toMatchObject({
      code: 'failed',
      data: undefined,
    });
    expect(logged.join()).toContain('vault is at 10.137.0.9');
  });

  test('a call whose result does not fit the output schema is `failed`', async () => {
    const tool = await toolThat(() => ({ word: 'x', host: 'vault' }));
    await expect(tool.call({ qube: 'x' }, context)).rejects.toMatchObject({ code: 'failed' });
  });

  test('a call that is refused keeps its code', async () => {
    const tool = await toolThat(() => {
      throw new Refused('conflict');
    });
    await expect(tool.call({ qube: 'x' }, context)).rejects.toMatchObject({ code: 'conflict' });
  });
});
