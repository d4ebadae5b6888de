import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { QubeName, REFUSALS, type RefusalCode, Refused } from '../../core/api/index.js';
import { refusalOf } from '../../core/mcp/results.js';
import { lazily } from '../../core/ports/values.js';
import { BUILT_IN } from '../../plugins/index.js';
import { crowdedHost, type Limits, tight } from '../properties/hosts.js';
import { Harness } from '../support/harness.js';
import { closePolicy, holdAll, ServiceCalls, useUpCalls } from '../support/interference.js';
import { timeless } from '../support/timeless.js';
import { ends } from '../support/waiting.js';
import { DRAWN, declared, type Entry, type Provoked, TABLE, TROUBLE } from './table.js';

const TOOLS = BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name as string));
const { pattern: NAME } = QubeName as unknown as { pattern: string };
const HIDDEN = ['vault', 'work', 'sys-net', 'sys-ai-net', 'mcp-control', 'ai-guarded'];
/** Words about the host that no refusal contains. */
const LEAK = /\bvault\b|\bwork\b|sys-|debian-13|lvm|pool|10\.137|qubesd|dom0|Error|Traceback/;

/** One call at a time, so that one call reaches the limit. */
const start = (limits: Limits = {}): Promise<Harness> =>
  Harness.start({
    spec: crowdedHost(),
    seed: 7,
    prepare: (root) => tight(root, { concurrent_calls: 1, ...limits }),
  });

/** A host on which no more calls are allowed in this minute. It serves all tools, because it is useless for anything else. */
const spent = lazily(async () => {
  const timesGoBy = timeless();
  try {
    const harness = await start({ calls_per_minute: 20 });
    await harness.agent();
    return harness;
  } finally {
    timesGoBy();
  }
});
afterAll(async () => {
  await (await spent()).close();
});

test('every tool has an entry in the table, and every entry has a tool', () => {
  expect(Object.keys(TABLE).sort()).toEqual([...TOOLS].sort());
});

/** Arguments that can be a qube's name, or begin with one. */
function naming(tool: string): string[] {
  const { input } = BUILT_IN.flatMap(({ tools }) => [...tools]).find(({ name }) => name === tool)!;
  const { properties } = input as unknown as { properties: Record<string, { pattern?: string }> };
  return Object.keys(properties).filter((key) => key === 'handle' || properties[key]!.pattern === NAME);
}

test.each(Object.entries(TABLE))(
  '%s: every argument that can name a qube is tried with names',
  (tool, entry) => {
    const { names = [], filters = [], refusals = {} } = entry;
    // The name of a new qube is refused by its shape, whoever has it.
    const born = Object.keys(refusals['name-not-allowed']?.input ?? {});
    expect([...names, ...filters, ...born].sort()).toEqual(naming(tool).sort());
  },
);

/** The codes that each tool gave in any test. */
const SEEN = new Map<string, Set<string>>();
function note(tool: string, code: string): void {
  if (code !== 'ok') SEEN.set(tool, (SEEN.get(tool) ?? new Set()).add(code));
}

/** The code of a refusal as a client gets it, or `ok`. Fails if the refusal changed anything or contains words about the host. */
async function refused(harness: Harness, tool: string, input: unknown): Promise<string> {
  const before = harness.states();
  const { code, data } = await harness.tool(tool, input);
  expect(harness.changedSince(before)).toEqual([]);
  note(tool, code);
  if (code === 'ok') return code;
  const result = refusalOf(new Refused(code as RefusalCode, data), new Set(TOOLS));
  expect(result).toMatchObject({ isError: true, structuredContent: { error: { code } } });
  const { text } = result.content[0] as { text: string };
  const { problems } = (data ?? {}) as { problems?: { at: string; problem: string }[] };
  // A malformed request is always told where and why; the rest may be.
  if (code === 'invalid-request')
    expect(problems).toEqual(
      expect.arrayContaining([{ at: expect.stringMatching(/^\//), problem: expect.any(String) }]),
    );
  const sentence = problems?.map(({ at, problem }) => `${at} ${problem}.`).join(' ');
  expect(text).toBe(`${code}: ${sentence ?? REFUSALS[code as RefusalCode]}`);
  // The agent's own words may come back to it, but only in data.
  expect(text).not.toMatch(LEAK);
  return code;
}

const TROUBLES = Object.entries(TROUBLE).flatMap(([whom, ways]) =>
  Object.entries(ways).map(([code, begin]) => [whom as keyof typeof TROUBLE, code, begin] as const),
);

describe.each(Object.entries(TABLE))('%s', (tool, entry: Entry) => {
  const { asks = ['dom0'], names = [], filters = [], refusals = {}, waits } = entry;
  const told = Object.entries(refusals) as [RefusalCode, Provoked][];
  const own = TROUBLES.filter(
    ([whom, code]) => asks.includes(whom) && !(entry.withoutQubesd && code === 'failed'),
  );
  const others = TROUBLES.filter(([whom]) => !asks.includes(whom));

  const prepared = async (harness: Harness) => {
    await entry.before?.(harness);
    return { ...entry.golden, ...(await entry.filled?.(harness)) };
  };
  // No refusal changes anything, so one host serves all of them, and the later tests.
  let harness: Harness;
  let { golden } = entry;
  beforeAll(async () => {
    harness = await start();
    golden = await prepared(harness);
  });
  afterAll(() => harness.close());

  test('a malformed input is refused, and no call is made', async () => {
    onTestFinished(holdAll(harness));
    const others = Object.keys(golden).map((key) => ({ ...golden, [key]: {} }));
    for (const input of [{ ...golden, unheard_of: 1 }, [], null, ...others])
      expect(await refused(harness, tool, input)).toBe('invalid-request');
  });

  test.each(own)('the tool refuses when %s fails: %s', async (_whom, code, begin) => {
    onTestFinished(await begin(harness));
    expect(await refused(harness, tool, golden)).toBe(code);
  });

  test('the tool answers not-found when nobody answers', async () => {
    onTestFinished(closePolicy(harness));
    expect(await refused(harness, tool, golden)).toBe('not-found');
  });

  test('the tool refuses when the limit of calls in a minute is reached, if it calls dom0', async () => {
    const harness = await spent();
    const input = asks.includes('dom0') ? golden : await prepared(harness);
    await useUpCalls(harness);
    expect(await refused(harness, tool, input)).toBe(asks.includes('dom0') ? 'rate-limited' : 'ok');
  });

  test.each(names)('the tool answers for a hidden %s what it answers for a missing one', async (argument) => {
    const before = harness.states();
    const about = async (name: string) => {
      const named = argument === 'handle' ? `${name}:0123456789abcdef` : name;
      const came = await harness.tool(tool, { ...golden, [argument]: named });
      note(tool, came.code);
      return JSON.stringify(came).replace(DRAWN, 'DRAWN');
    };
    const missing = await about('no-such-qube');
    expect(missing).toMatch(/^{"code":"not-found"/);
    for (const hidden of HIDDEN) expect([hidden, await about(hidden)]).toEqual([hidden, missing]);
    expect(harness.changedSince(before)).toEqual([]);
  });

  test.each(filters)('the tool reports of a hidden %s what it reports of a missing one', async (argument) => {
    const told: string[] = [];
    for (const name of ['no-such-qube', 'vault', 'ai-guarded'])
      told.push(JSON.stringify(await harness.done(tool, { ...golden, [argument]: name })));
    expect(told).toEqual(told.map(() => told[0]));
  });

  test.each(told.filter(([, { before }]) => !before))('the tool refuses: %s', async (code, { input }) => {
    expect(await refused(harness, tool, { ...golden, ...input })).toBe(code);
  });

  test.each(told.filter(([, { before }]) => before))(
    'the tool refuses, after preparation: %s',
    async (code, provoked) => {
      const other = await start();
      try {
        await provoked.before?.(other);
        expect(
          await refused(other, tool, { ...golden, ...provoked.input, ...(await provoked.filled?.(other)) }),
        ).toBe(code);
      } finally {
        await other.close();
      }
    },
  );

  test('the tool answers as before when a service that it does not call fails', async () => {
    for (const [, , begin] of others) onTestFinished(await begin(harness));
    const { result } = await harness.done(tool, golden);
    const text = JSON.stringify({ input: golden, output: result }, undefined, 2);
    const path = new URL(`__snapshots__/golden/${tool}.json`, import.meta.url).pathname;
    await expect(`${text.replace(DRAWN, 'DRAWN')}\n`).toMatchFileSnapshot(path);
    expect((await harness.agent()).log).toEqual([]);
  });

  test('the call ends when its client leaves, although nothing has answered it', async () => {
    await waits?.before?.(harness);
    if (!waits) onTestFinished(holdAll(harness));
    const gone = new AbortController();
    const asked = new ServiceCalls(harness);
    onTestFinished(asked.restore);
    const calling = harness.tool(tool, { ...golden, ...waits?.input }, { signal: gone.signal });
    const waitedFor = await asked.waitedFor(calling, waits?.for);
    gone.abort();
    const { code } = await ends('the call', calling);
    expect(waitedFor?.answered ?? false).toBe(false);
    note(tool, code);
  });

  test('the tool gave exactly the codes of its entry', () => {
    expect([...(SEEN.get(tool) ?? [])].sort()).toEqual(declared(entry));
  });
});
