import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  axioms,
  defineHostService,
  definePlugin,
  defineTargetService,
  defineTool,
  NoParams,
  QubeName,
  QubeState,
  Refused,
  step,
  Type,
} from '../../core/api/index.js';
import {
  defineCheck,
  InvariantBroken,
  NotHidden,
  type SimulatedHost,
  simulatedHost,
} from '../../testing/index.js';

const look = defineTargetService('qmcp.mine.Look', {
  effect: 'read',
  capability: 'read',
  params: NoParams,
  invariants: [axioms.existenceHidden],
  steps: [step.read({ qube: '$target' })],
  reply: QubeState,
});
const start = defineTargetService('qmcp.mine.Start', {
  effect: 'write',
  capability: 'exec',
  params: NoParams,
  invariants: [axioms.selfExcluded],
  steps: [step.power({ qube: '$target', to: 'running' }), step.read({ qube: '$target' })],
  reply: QubeState,
});
const make = defineHostService('qmcp.mine.Make', {
  effect: 'write',
  qubes: { template: 'exec' },
  params: Type.Object({ name: QubeName, template: QubeName }, { additionalProperties: false }),
  invariants: [axioms.namespace],
  steps: [step.create({ name: '$name', template: '$template' }), step.read({ qube: '$name' })],
  reply: QubeState,
});
const Qube = Type.Object({ qube: QubeName }, { additionalProperties: false });
const Word = Type.Object({ word: Type.String() }, { additionalProperties: false });
const tool = { title: 'A tool', description: 'A tool.', input: Qube, output: Word } as const;

const plugin = definePlugin({
  id: 'mine',
  apiVersion: 1,
  title: 'Mine',
  services: [look, start, make],
  tools: [
    defineTool({
      ...{ ...tool, name: 'mine_start', effect: 'write', uses: { start }, upholds: start.invariants },
      run: async ({ start }, { qube }) => ({ word: (await start(qube, {})).state }),
    }),
    // Distinguishes a hidden qube from a missing one, although dom0 does not.
    defineTool({
      ...{ ...tool, name: 'mine_leak', effect: 'read', uses: { look }, upholds: [] },
      run: async ({ look }, { qube }) => {
        if (qube === 'vault') throw new Refused('conflict');
        return { word: (await look(qube, {})).state };
      },
    }),
    // Refuses all qubes alike, but starts one first.
    defineTool({
      ...{ ...tool, name: 'mine_noisy', effect: 'write', uses: { start }, upholds: start.invariants },
      run: async ({ start }) => {
        await start('ai-one', {});
        throw new Refused('not-found');
      },
    }),
  ],
});

const nothingRuns = defineCheck('mine.nothing-runs', {
  statement: 'No qube of the world ever runs.',
  holds: (_, { qubes }) => qubes.every(({ name, state }) => !name.startsWith('ai-') || state === 'Halted'),
});

describe('the testing kit', () => {
  let host: SimulatedHost;
  beforeAll(async () => {
    host = await simulatedHost({ plugins: [plugin] });
    await host.call('qube_spawn', { name: 'ai-one', template: 'ai-debian' });
  });
  afterAll(() => host.close());

  test('the test kit installs a plugin as an operator would, and qmcp-admin check then reports nothing', async () => {
    expect(host.problems).toEqual([]);
    expect(await host.admin('check')).toMatchObject({ code: 0 });
    expect((await host.admin('contract', 'list')).out).toContain('qmcp.mine.Make');
  });

  test('the test kit finds a plugin that distinguishes a hidden qube from a missing one', async () => {
    await expect(host.hidesQubes('mine_leak', (qube) => ({ qube }))).rejects.toThrow(NotHidden);
    await host.hidesQubes('mine_start', (qube) => ({ qube }));
  });

  test('the test kit finds a plugin that answers all alike but has an effect', async () => {
    await expect(host.hidesQubes('mine_noisy', (qube) => ({ qube }))).rejects.toThrow(/changed the host/);
  });

  test('the test kit finds a broken invariant by name', async () => {
    await host.operate('tag', 'ai-one', '+ai-full');
    const act = () =>
      host.call('qube_kill', { qube: 'ai-one' }).then(() => host.call('mine_start', { qube: 'ai-one' }));
    await host.upholding(act);
    const broken = await host.upholding(act, [nothingRuns, axioms.selfExcluded]).catch((error) => error);
    expect(broken).toBeInstanceOf(InvariantBroken);
    expect(broken.message).toBe('mine.nothing-runs no longer holds: No qube of the world ever runs.');
  });

  test('the test kit says why a tool is missing', async () => {
    await expect(host.call('mine_other')).rejects.toThrow('there is no tool mine_other');
  });
});

test('a plugin without services has nothing in dom0, and its tools are tested like any other', async () => {
  const words = definePlugin({
    id: 'words',
    apiVersion: 1,
    title: 'Words',
    services: [],
    tools: [
      defineTool({
        ...{
          name: 'words_upper',
          title: 'Upper',
          description: 'Upper case.',
          effect: 'read',
          uses: {},
          upholds: [],
        },
        ...{ input: Word, output: Word },
        run: async (_, { word }) => ({ word: word.toUpperCase() }),
      }),
    ],
  });
  const host = await simulatedHost({ plugins: [words] });
  try {
    expect(await host.call('words_upper', { word: 'a' })).toEqual({ word: 'A' });
  } finally {
    await host.close();
  }
});
