import { describe, expect, test } from 'vitest';
import {
  defineGuestService,
  defineHostService,
  definePlugin,
  defineStreamService,
  defineTargetService,
  defineTool,
  NoParams,
  QubeName,
  step,
  Type,
} from '../../core/api/index.js';

const Named = Type.Object(
  {
    name: QubeName,
    template: QubeName,
    memory: Type.Optional(Type.Integer()),
    note: Type.String(),
    start: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
const rest = { effect: 'write', invariants: [], reply: NoParams } as const;

const start = defineTargetService('qmcp.mine.Start', {
  ...rest,
  capability: 'exec',
  params: Type.Object({ timeout: Type.Optional(Type.Integer()), now: Type.Boolean() }),
  steps: [
    step.power({ qube: '$target', to: 'halted', timeout: '$timeout' }, { when: '$now' }),
    step.read({ qube: '$target' }),
  ],
});
const make = defineHostService('qmcp.mine.Make', {
  ...rest,
  qubes: { template: 'exec' },
  params: Named,
  steps: [
    step.create({ name: '$name', template: '$template', memory: '$memory' }),
    step.power({ qube: '$name', to: 'running' }, { when: '$start' }),
    step.read({ qube: '$name' }),
  ],
});
const run = defineGuestService('qmcp.mine.Run', { ...rest, capability: 'exec', params: NoParams });

describe('the types that an author writes', () => {
  test('the types of an author’s schemas become their data', () => {
    expect(make.steps).toEqual([
      { do: 'create', with: { name: '$name', template: '$template', memory: '$memory' } },
      { do: 'power', with: { qube: '$name', to: 'running' }, when: '$start' },
      { do: 'read', with: { qube: '$name' } },
    ]);
    expect(start).toMatchObject({ kind: 'target', name: 'qmcp.mine.Start', qubes: {} });
  });
});

// Never run: these mistakes of an author must not compile.
const refusedByTheCompiler = () => {
  const target = { ...rest, capability: 'exec', params: NoParams } as const;
  const host = { ...rest, params: Named } as const;

  // ---- references
  defineTargetService('qmcp.mine.A', {
    ...target,
    // @ts-expect-error there is no parameter `size`
    steps: [step.grow({ qube: '$target', size: '$size' })],
  });
  defineHostService('qmcp.mine.A', {
    ...host,
    qubes: { template: 'exec' },
    // @ts-expect-error there is no parameter `nam`
    steps: [step.create({ name: '$nam', template: '$template' })],
  });
  defineHostService('qmcp.mine.A', {
    ...host,
    qubes: { template: 'exec' },
    // @ts-expect-error memory is a number, and the parameter `note` is text
    steps: [step.create({ name: '$name', template: '$template', memory: '$note' })],
  });
  defineHostService('qmcp.mine.A', {
    ...host,
    qubes: { template: 'exec' },
    // @ts-expect-error a label is text, and the parameter `memory` is a number
    steps: [step.create({ name: '$name', template: '$template', label: '$memory' })],
  });
  defineTargetService('qmcp.mine.A', {
    ...target,
    params: Type.Object({ size: Type.Optional(Type.Integer()) }),
    // @ts-expect-error a size is needed, and the parameter may be left out
    steps: [step.grow({ qube: '$target', size: '$size' })],
  });
  defineTargetService('qmcp.mine.A', {
    ...target,
    // @ts-expect-error the condition is no parameter
    steps: [step.power({ qube: '$target', to: 'running' }, { when: '$start' })],
  });
  defineHostService('qmcp.mine.A', {
    ...host,
    qubes: { template: 'exec' },
    // @ts-expect-error a condition is true or false, and the parameter `note` is text
    steps: [step.create({ name: '$name', template: '$template' }, { when: '$note' })],
  });

  // ---- qubes in reach
  defineHostService('qmcp.mine.A', {
    ...host,
    // @ts-expect-error a service of the host has no target
    steps: [step.read({ qube: '$target' })],
  });
  defineHostService('qmcp.mine.A', {
    ...host,
    // @ts-expect-error the parameter `template` is not among the service's qubes, so no tier was asked of it
    steps: [step.read({ qube: '$template' })],
  });
  defineHostService('qmcp.mine.A', {
    ...host,
    qubes: { template: 'exec' },
    // @ts-expect-error no step makes a qube of that name
    steps: [step.read({ qube: '$name' })],
  });
  // @ts-expect-error a tier that is none
  defineHostService('qmcp.mine.A', { ...host, qubes: { template: 'root' }, steps: [step.list()] });
  // @ts-expect-error no parameter of that name names a qube
  defineHostService('qmcp.mine.A', { ...host, qubes: { source: 'exec' }, steps: [step.list()] });
  // @ts-expect-error a parameter that may be left out names no qube
  defineHostService('qmcp.mine.A', { ...host, qubes: { start: 'exec' }, steps: [step.list()] });
  defineStreamService('qmcp.mine.A', {
    ...host,
    // @ts-expect-error there is no parameter `seconds`
    steps: [step.events({ seconds: '$seconds' })],
  });

  // ---- services
  // @ts-expect-error the service is outside qmcp's names
  defineTargetService('mine.A', { ...target, steps: [step.read({ qube: '$target' })] });
  // @ts-expect-error a service on a qube says which tier it takes
  defineTargetService('qmcp.mine.A', { ...rest, params: NoParams, steps: [step.read({ qube: '$target' })] });
  // @ts-expect-error dom0 has no part in what runs inside a qube
  defineGuestService('qmcp.mine.A', { ...target, steps: [step.list()] });
  // @ts-expect-error a step is one of the builders'
  defineTargetService('qmcp.mine.A', { ...target, steps: [{ do: 'shell', with: {} }] });

  // ---- tools
  const tool = {
    name: 'mine_start',
    title: 'Start',
    description: 'Starts.',
    effect: 'write',
    input: Type.Object({ qube: QubeName }),
    output: NoParams,
    uses: { start },
    upholds: [],
  } as const;
  defineTool({ ...tool, run: ({ start }, { qube }) => start(qube, { now: true }) });
  // @ts-expect-error a service that the tool does not use
  defineTool({ ...tool, run: ({ make }, { qube }) => make(qube) });
  // @ts-expect-error a field the input does not have
  defineTool({ ...tool, run: ({ start }, { name }) => start(name, { now: true }) });
  // @ts-expect-error a parameter of another type
  defineTool({ ...tool, run: ({ start }, { qube }) => start(qube, { now: 'yes' }) });
  // @ts-expect-error a parameter that is missing
  defineTool({ ...tool, run: ({ start }, { qube }) => start(qube, {}) });
  // @ts-expect-error what comes back is not the output
  defineTool({ ...tool, output: Type.Object({ word: Type.String() }), run: async () => ({ word: 3 }) });
  const options = Type.Object({ greeting: Type.String() });
  const word = { ...tool, output: Type.Object({ word: Type.String() }) };
  defineTool({ ...word, run: async (_, __, context) => ({ word: context.options(options).greeting }) });
  // @ts-expect-error an option the plugin does not take
  defineTool({ ...word, run: async (_, __, context) => ({ word: context.options(options).welcome }) });
  // @ts-expect-error neither run nor handler
  defineTool(tool);
  // @ts-expect-error an effect that is none
  defineTool({ ...tool, effect: 'maybe', run: async () => ({}) });
  // @ts-expect-error a plugin says which services are its authority
  definePlugin({ id: 'mine', apiVersion: 1, title: 'Mine', tools: [] });
  // @ts-expect-error this is version 1 of the API
  definePlugin({ id: 'mine', apiVersion: '1', title: 'Mine', services: [run], tools: [] });
};
void refusedByTheCompiler;
