import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { REFUSALS, type RefusalCode, Refused } from '../../core/api/index.js';
import { refusalOf } from '../../core/mcp/results.js';
import { BUILT_IN } from '../../plugins/index.js';
import { ForkedQmcpd } from '../security/forked.js';
import { unhardened } from '../support/shell.js';
import { Stage } from './stage.js';
import { DRAWN, type Entry, type Provoked, TABLE } from './table.js';

vi.mock('just-bash', async (original) => unhardened(await original()));

const TOOLS = BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name as string));
const HIDDEN = ['vault', 'work', 'sys-net', 'sys-ai-net', 'mcp-control', 'ai-guarded'];
/** Milliseconds in which a call is over that nobody waits for any more: no more than that it does not hang. */
const SOON = 10_000;
/** Of the host, what no refusal says. */
const LEAK = /\bvault\b|\bwork\b|sys-|debian-13|lvm|pool|10\.137|qubesd|dom0|Error|Traceback/;

let forked: ForkedQmcpd;
beforeAll(() => {
  forked = ForkedQmcpd.install();
});
afterAll(() => forked.remove());

test('every tool has an entry in the table, and every entry a tool', () => {
  expect(Object.keys(TABLE).sort()).toEqual([...TOOLS].sort());
});

/** Codes each tool was seen to give, whatever was being tried. */
const SEEN = new Map<string, Set<string>>();
function note(tool: string, code: string): void {
  if (code !== 'ok') SEEN.set(tool, (SEEN.get(tool) ?? new Set()).add(code));
}

/** The code of a refusal, as a client would get it, that changed nothing and says nothing of the host; or `ok`. */
async function refused(stage: Stage, tool: string, input: unknown): Promise<string> {
  const truth = stage.truth();
  const { code, data } = await stage.agent.call(tool, input);
  expect(stage.changedSince(truth)).toEqual([]);
  note(tool, code);
  if (code === 'ok') return code;
  const result = refusalOf(new Refused(code as RefusalCode, data));
  expect(result).toMatchObject({ isError: true, structuredContent: { error: { code } } });
  const { text } = result.content[0]!;
  expect(text.startsWith(`${code}: ${REFUSALS[code as RefusalCode]}`)).toBe(true);
  // What the agent itself has said may come back to it, in data alone.
  expect(text).not.toMatch(LEAK);
  return code;
}

describe.each(Object.entries(TABLE))('%s', (tool, entry: Entry) => {
  const { names = [], refusals = {}, never = {}, waits } = entry;
  const told = Object.entries(refusals) as [RefusalCode, Provoked][];

  // No refusal changes anything, so one host does for all of them, and for what comes after.
  let stage: Stage;
  let { golden } = entry;
  beforeAll(async () => {
    stage = await Stage.set();
    await entry.before?.(stage);
    golden = { ...golden, ...(await entry.filled?.(stage)) };
  });
  afterAll(() => stage.strike());

  test('refuses what is no request, and asks nobody', async () => {
    const release = stage.hold();
    const others = Object.keys(golden).map((key) => ({ ...golden, [key]: {} }));
    for (const input of [{ ...golden, unheard_of: 1 }, [], null, ...others])
      expect(await refused(stage, tool, input)).toBe('invalid-request');
    release();
  });

  test('refuses in a world that is stopped, and when dom0 cannot do its part', async () => {
    const thaw = stage.freeze();
    if (!never.frozen) expect(await refused(stage, tool, golden)).toBe('frozen');
    thaw();
    const mend = stage.breakQubesd();
    if (!never.failed) expect(await refused(stage, tool, golden)).toBe('failed');
    mend();
  });

  test.each(names)('says of a hidden %s what it says of a missing one', async (argument) => {
    const truth = stage.truth();
    const about = async (name: string) => {
      const came = await stage.agent.call(tool, { ...golden, [argument]: name });
      note(tool, came.code);
      return JSON.stringify(came).replace(DRAWN, 'DRAWN');
    };
    const missing = await about('no-such-qube');
    expect(missing).toMatch(/^{"code":"not-found"/);
    for (const hidden of HIDDEN) expect([hidden, await about(hidden)]).toEqual([hidden, missing]);
    expect(stage.changedSince(truth)).toEqual([]);
  });

  test.each(told.filter(([, { before }]) => !before))('refuses: %s', async (code, { input }) => {
    expect(await refused(stage, tool, { ...golden, ...input })).toBe(code);
  });

  test.each(told.filter(([, { before }]) => before))('refuses, after more: %s', async (code, provoked) => {
    const other = await Stage.set();
    try {
      await provoked.before?.(other);
      expect(await refused(other, tool, { ...golden, ...provoked.input })).toBe(code);
    } finally {
      await other.strike();
    }
  });

  test('answers as it did', async () => {
    const { result } = await stage.done(tool, golden);
    const text = JSON.stringify({ input: golden, output: result }, undefined, 2);
    const path = new URL(`__snapshots__/golden/${tool}.json`, import.meta.url).pathname;
    await expect(`${text.replace(DRAWN, 'DRAWN')}\n`).toMatchFileSnapshot(path);
    expect(stage.agent.log).toEqual([]);
  });

  test('is over soon after its client has gone', async () => {
    await waits?.before?.(stage);
    const release = waits ? () => {} : stage.hold();
    const gone = new AbortController();
    const calling = stage.agent.call(tool, { ...golden, ...waits?.input }, { signal: gone.signal });
    const late = new Promise((resolve) => setTimeout(() => resolve('it goes on'), SOON).unref());
    setTimeout(() => gone.abort(), 100);
    expect(await Promise.race([calling.then(() => 'over'), late])).toBe('over');
    release();
  });
});

describe('in a world in which', () => {
  let stage: Stage;
  const dom0s = (code: 'busy' | 'rate-limited') =>
    Object.entries(TABLE).filter(([, { never }]) => !(never && code in never));

  test('as many calls go on as may, every tool is `busy`', async () => {
    stage = await Stage.set({ concurrent_calls: 1 });
    const stop = await stage.occupy();
    for (const [tool, { golden }] of dom0s('busy'))
      expect([tool, await refused(stage, tool, golden)]).toEqual([tool, 'busy']);
    await stop();
    await stage.strike();
  });

  test('as many calls were made as may in a minute, every tool is `rate-limited`', async () => {
    stage = await Stage.set({ calls_per_minute: 2 });
    for (const [tool, { golden }] of dom0s('rate-limited'))
      expect([tool, await refused(stage, tool, golden)]).toEqual([tool, 'rate-limited']);
    await stage.strike();
  });
});

/** The codes an entry says its tool can give: its own, and those of every tool like it. */
function declared({ names = [], refusals = {}, never = {} }: Entry): string[] {
  const common = (['frozen', 'failed', 'busy', 'rate-limited'] as const).filter((code) => !(code in never));
  const found = names.length > 0 ? ['not-found'] : [];
  return ['invalid-request', ...common, ...found, ...Object.keys(refusals)].sort();
}

test.each(Object.entries(TABLE))(
  '%s gave the codes that its entry has, all of them and no other',
  (tool, entry) => {
    const seen = [...(SEEN.get(tool) ?? [])].sort();
    expect(seen).toEqual([...new Set(declared(entry))]);
  },
);
