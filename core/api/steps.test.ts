import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { STEPS } from './generated/steps.js';
import { defineTargetService, NoParams, type Step, step } from './index.js';

const dom0 = parse(
  readFileSync(new URL('../../dom0/spec/steps.toml', import.meta.url), 'utf8'),
) as unknown as { step: Record<string, { words: string; arguments: object }> };

describe('the steps an author can write', () => {
  test("authors have exactly dom0's steps, with dom0's arguments", () => {
    expect(STEPS).toMatchObject(
      Object.fromEntries(
        Object.entries(dom0.step).map(([name, { words, arguments: taken }]) => [
          name,
          { words, arguments: taken },
        ]),
      ),
    );
    expect(Object.keys(step)).toEqual(Object.keys(dom0.step));
  });

  test('steps are plain data', () => {
    expect(step.power({ qube: '$name', to: 'running' }, { when: '$start' })).toEqual({
      do: 'power',
      with: { qube: '$name', to: 'running' },
      when: '$start',
    });
    expect(step.list()).toEqual({ do: 'list', with: {} });
  });

  test('a service asks for the methods of all its steps, each once', () => {
    const { calls } = defineTargetService('qmcp.a.Look', {
      ...{ effect: 'read', capability: 'read', params: NoParams, reply: NoParams, invariants: [] },
      steps: [step.list(), step.rules({ qube: '$target' }), step.list()],
    });
    expect(calls).toEqual([...new Set([...STEPS.list.methods, ...STEPS.rules.methods])].sort());
  });
});

// Never run: what an author must not be able to write does not compile.
const refusedByTheCompiler = () => [
  // @ts-expect-error there is no such step
  step.shell({ command: '$command' }),
  // @ts-expect-error a step's name is one of the vocabulary's
  { do: 'shell', with: {} } satisfies Step,
  // @ts-expect-error a qube is not brought to a state the vocabulary does not name
  step.power({ qube: '$target', to: 'rebooted' }),
  // @ts-expect-error the word is fixed by the contract, never the caller's
  step.power({ qube: '$target', to: '$to' }),
  // @ts-expect-error a network is given back or taken, never chosen
  step.network({ qube: '$target', to: 'sys-firewall' }),
  // @ts-expect-error the state is missing
  step.power({ qube: '$target' }),
  // @ts-expect-error everything is missing
  step.create(),
  // @ts-expect-error the backend is missing
  step.detach({ qube: '$target', device: '$device', devclass: '$class' }),
  // @ts-expect-error a birth takes no netvm
  step.create({ name: '$name', template: '$template', netvm: '$netvm' }),
  // @ts-expect-error no property beyond those of the vocabulary
  step.property({ qube: '$target', provides_network: '$yes' }),
  // @ts-expect-error a listing takes nothing
  step.list({ qube: '$target' }),
  // @ts-expect-error a literal where a parameter's reference belongs
  step.read({ qube: 'vault' }),
  // @ts-expect-error an optional argument is a reference too
  step.create({ name: '$name', template: '$template', label: 'red' }),
  // @ts-expect-error a number is no reference
  step.grow({ qube: '$target', size: 1024 }),
  // @ts-expect-error the condition is a reference
  step.power({ qube: '$target', to: 'running' }, { when: 'start' }),
  // @ts-expect-error the second argument has a condition and nothing else
  step.power({ qube: '$target', to: 'running' }, { unless: '$start' }),
];
void refusedByTheCompiler;
