import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { denied } from '../../test/support/fake-host.js';
import { listOf, stateOf, toolsOf } from '../../test/support/tools.js';
import { mermaid } from './picture.js';
import networking from './plugin.js';

const NETWORKS: Record<string, string | null> = {
  'ai-one': 'sys-ai-net',
  'ai-two': null,
  'ai-debian': '<out-of-scope>',
};
const dom0 = {
  'qmcp.networking.Map': () => listOf('ai-one', 'ai-gone', 'ai-two', 'ai-debian'),
  'qmcp.networking.State': ({ target }: { target: string }) =>
    target in NETWORKS ? stateOf(target, { network: NETWORKS[target] }) : denied,
  'qmcp.networking.Disconnect': () => stateOf('ai-one', { network: null }),
  'qmcp.networking.Reconnect': () => stateOf('ai-one'),
};

test('network_map shows each existing qube and its network', async () => {
  const tools = await toolsOf(networking, dom0);
  expect(await tools.call('network_map', {})).toEqual({
    qubes: Object.entries(NETWORKS).map(([qube, network]) => ({ qube, state: 'halted', network })),
    mermaid: [
      'flowchart LR',
      '  q0["ai-one"]',
      '  q1["sys-ai-net"]',
      '  q0 --> q1',
      '  q2["ai-two"]',
      '  q3["ai-debian"]',
      '  q4["#60;out-of-scope#62;"]',
      '  q3 --> q4',
    ].join('\n'),
  });
});

test.each([
  ['network_disconnect', 'qmcp.networking.Disconnect', null],
  ['network_reconnect', 'qmcp.networking.Reconnect', 'sys-ai-net'],
])('%s is called on the qube, and sends no name of a network', async (name, service, network) => {
  const tools = await toolsOf(networking, dom0);
  expect(await tools.call(name, { qube: 'ai-one' })).toMatchObject({ network });
  expect(tools.calls()).toEqual([['ai-one', service, {}]]);
  expect(await tools.call(name, { qube: 'ai-one', network: 'sys-net' })).toBe('invalid-request');
});

describe('a picture', () => {
  const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 31 });
  test('a flowchart has one line for each node and each arrow, whatever the names are', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ qube: name, network: fc.option(name) })), (places) => {
        const [head, ...lines] = mermaid(places).split('\n');
        expect(head).toBe('flowchart LR');
        for (const line of lines) expect(line).toMatch(/^ {2}(q\d+\["[A-Za-z0-9_.#;-]+"\]|q\d+ --> q\d+)$/);
        const names = new Set(
          places.flatMap(({ qube, network }) => [qube, ...(network === null ? [] : [network])]),
        );
        expect(lines.filter((line) => line.includes('["'))).toHaveLength(names.size);
      }),
    );
  });
});
