import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { gate } from '../../test/support/waiting.js';
import { Refused, type Tool, type ToolContext, Type } from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import { backgroundTools, withBackground } from './background.js';
import { BackgroundCalls } from './calls.js';
import { serveTool } from './tools.js';

type Run = (input: unknown, context: ToolContext) => Promise<unknown>;

const session = {};
const context = (changes: Partial<ToolContext> = {}): ToolContext => ({
  signal: new AbortController().signal,
  progress: () => {},
  session,
  ...changes,
});

function served(run: Run, changes: Partial<Tool> = { slow: true }) {
  const calls = new BackgroundCalls();
  const tool = serveTool('a', toolOf('say', serviceOf('a'), changes), run, () => {});
  const [say] = withBackground([tool], calls);
  const [result, stop] = backgroundTools(calls);
  return { tool, calls, say: say!, result: result!, stop: stop! };
}

const begin = async ({ say }: ReturnType<typeof served>) => {
  const begun = await say.call({ qube: 'x', background: true }, context());
  expect(begun).toMatchObject({ running: true });
  return begun.handle as string;
};

describe('a slow tool', () => {
  test('answers at once in the background, and its result is there when it has ended', async () => {
    const end = gate();
    const about = served(async () => {
      await end.opened;
      return { word: 'done' };
    });
    const handle = await begin(about);
    expect(await about.result.call({ handle }, context())).toEqual({
      running: true,
      tool: 'say',
      status: 'waiting for the tool',
    });
    const waiting = about.result.call({ handle, wait: 60 }, context());
    end.open();
    expect(await waiting).toEqual({ running: false, tool: 'say', result: { word: 'done' } });
  });

  test('in the background goes on when its request is cancelled', async () => {
    const end = gate();
    const about = served(async (_input, { signal }) => {
      await end.opened;
      return { word: signal.aborted ? 'aborted' : 'done' };
    });
    const controller = new AbortController();
    const { handle } = await about.say.call(
      { qube: 'x', background: true },
      context({ signal: controller.signal }),
    );
    controller.abort();
    end.open();
    expect(await about.result.call({ handle, wait: 60 }, context())).toMatchObject({
      result: { word: 'done' },
    });
  });

  test('works as before without `background`, and never gets that argument', async () => {
    const given: unknown[] = [];
    const about = served(async (input) => {
      given.push(input);
      return { word: 'done' };
    });
    expect(await about.say.call({ qube: 'x' }, context())).toEqual({ word: 'done' });
    expect(await about.say.call({ qube: 'x', background: false }, context())).toEqual({ word: 'done' });
    const handle = await begin(about);
    await about.result.call({ handle, wait: 60 }, context());
    expect(given).toEqual(Array(3).fill({ qube: 'x' }));
  });

  test('refuses malformed arguments before it goes to the background', async () => {
    const about = served(async () => ({ word: 'done' }));
    for (const [input, at] of [
      [{ qube: 1, background: true }, '/qube'],
      [{ qube: 'x', background: 'yes' }, '/background'],
      [{ qube: 'x', background: true, more: 1 }, '/more'],
      ['x', '/'],
    ] as const)
      await expect(about.say.call(input, context())).rejects.toMatchObject({
        code: 'invalid-request',
        data: { problems: [{ at }] },
      });
    expect(about.calls.of(session)).toEqual([]);
  });

  test('has a schema that fits its result and its handle, and nothing else', async () => {
    const about = served(async () => ({ word: 'done' }));
    const shape = Compile(about.say.tool.output);
    expect(shape.Check({ word: 'done' })).toBe(true);
    expect(shape.Check({ running: true, handle: 'call-1' })).toBe(true);
    expect(shape.Check({ running: true })).toBe(false);
    expect(shape.Check({ word: 'done', other: 1 })).toBe(false);
  });

  test('that has an argument `background` keeps it, and a tool that is not slow gets none', () => {
    const own = served(async () => ({ word: '' }), {
      slow: true,
      input: Type.Object({ background: Type.Optional(Type.String()) }),
    });
    expect(own.say).toBe(own.tool);
    const fast = served(async () => ({ word: '' }), {});
    expect(fast.say).toBe(fast.tool);
  });
});

describe('call_result', () => {
  test('refuses as the call was refused', async () => {
    const about = served(() => Promise.reject(new Refused('conflict', { state: 'Halted' })));
    const handle = await begin(about);
    await expect(about.result.call({ handle, wait: 60 }, context())).rejects.toMatchObject({
      code: 'conflict',
      data: { state: 'Halted' },
    });
  });

  test('of another session, or of no call, is not-found in the same words', async () => {
    const about = served(async () => ({ word: 'done' }));
    const handle = await begin(about);
    const refused = (handle: string, session: object) =>
      Promise.all(
        [about.result, about.stop].map((tool) =>
          tool.call({ handle }, context({ session })).catch((error: Refused) => JSON.stringify(error)),
        ),
      );
    expect(await refused(handle, {})).toEqual(await refused('call-1', session));
    expect(await about.result.call({ handle, wait: 60 }, context())).toMatchObject({ running: false });
  });

  test('waits no longer than it was asked to', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const about = served(() => new Promise(() => {}));
    const handle = await begin(about);
    const waiting = about.result.call({ handle, wait: 2 }, context());
    await vi.advanceTimersByTimeAsync(2000);
    expect(await waiting).toMatchObject({ running: true });
    const longest = about.result.call({ handle, wait: 3600 }, context());
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await longest).toMatchObject({ running: true });
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('call_stop', () => {
  test('stops the call, and its result says so', async () => {
    const about = served(
      (_input, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new Refused('not-found')));
        }),
    );
    const handle = await begin(about);
    for (let times = 0; times < 2; times += 1)
      expect(await about.stop.call({ handle }, context())).toEqual({ running: false });
    expect(await about.result.call({ handle }, context())).toEqual({
      running: false,
      tool: 'say',
      status: 'stopped',
    });
  });
});
