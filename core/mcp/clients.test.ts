import { describe, expect, test } from 'vitest';
import { EVERYTHING, mayCall, Pace, parseTokens, TokenClients } from './clients.js';

const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(16)) as [string, string, string];

describe('a file of tokens', () => {
  test('with one word has one token, which is good for everything', () => {
    expect(parseTokens(`${A}\n`)).toMatchObject([{ rights: EVERYTHING }]);
    expect(parseTokens(`# of the operator\n\n  ${A}  \n`)).toHaveLength(1);
  });

  test('has on each line a name, a token and what narrows it', () => {
    const tokens = parseTokens(
      `one ${A} # all\ntwo ${B} read-only\nthree ${C} tools=qube_*,exec_run read-only`,
    );
    expect(tokens.map(({ name, rights }) => [name, rights])).toEqual([
      ['one', { readOnly: false }],
      ['two', { readOnly: true }],
      ['three', { readOnly: true, tools: ['qube_*', 'exec_run'] }],
    ]);
  });

  test.each([
    ['', '1: the file contains no token'],
    ['short', '1: expected a token of at least 16 visible'],
    [`one ${A}\ntwo short`, '2: expected a token of at least 16 visible'],
    [`one ${A}\n${B}`, '2: expected a token of at least 16 visible'],
    [`one/1 ${A}\ntwo ${B}`, '1: expected a name'],
    [`one ${A} readonly`, '1: expected read-only or tools=NAME,NAME'],
    [`one ${A} tools=`, '1: expected read-only or tools=NAME,NAME'],
    [`one ${A} tools=qube.*`, '1: expected read-only or tools=NAME,NAME'],
    [`one ${A}\none ${B}`, '2: this name is there twice'],
    [`one ${A}\n\ntwo ${A}`, '3: this token is there twice'],
  ])('with the mistake in %j says where it is', (text, message) => {
    expect(() => parseTokens(text)).toThrow(message);
    try {
      parseTokens(text);
    } catch (error) {
      for (const secret of [A, B]) expect((error as Error).message).not.toContain(secret);
    }
  });

  test('gives each token a client of its own', () => {
    const clients = new TokenClients(parseTokens(`one ${A}\ntwo ${B} read-only`));
    expect(clients.find(A)).toMatchObject({ name: 'one', rights: { readOnly: false } });
    expect(clients.find(B)).toMatchObject({ name: 'two', rights: { readOnly: true } });
    expect(clients.find(A)).toBe(clients.find(A));
    expect(clients.find(A)!.session).not.toBe(clients.find(B)!.session);
    // A token without a name may be in many hands.
    expect(new TokenClients(parseTokens(A)).find(A)!.session).toBeUndefined();
    for (const other of ['', 'one', `${A}x`, C]) expect(clients.find(other)).toBeUndefined();
  });
});

test('a client may call the tools that its rights name, and only those that read if it is read-only', () => {
  const read = { name: 'qube_list', effect: 'read' } as const;
  const start = { name: 'qube_start', effect: 'write' } as const;
  const run = { name: 'exec_run', effect: 'destroy' } as const;
  const allowed = (rights: Parameters<typeof mayCall>[0]) =>
    [read, start, run].filter((tool) => mayCall(rights, tool)).map(({ name }) => name);
  expect(allowed(EVERYTHING)).toEqual(['qube_list', 'qube_start', 'exec_run']);
  expect(allowed({ readOnly: true })).toEqual(['qube_list']);
  expect(allowed({ readOnly: false, tools: ['qube_*'] })).toEqual(['qube_list', 'qube_start']);
  expect(allowed({ readOnly: true, tools: ['exec_run'] })).toEqual([]);
  expect(allowed({ readOnly: false, tools: ['list', 'qube'] })).toEqual([]);
});

describe('the pace of a client', () => {
  const [one, other] = [{}, {}];

  test('allows so many requests a minute, says how long to wait, and recovers', () => {
    let now = 0;
    const pace = new Pace({ requestsPerMinute: 2, concurrentRequests: 10 }, () => now);
    for (const _ of [1, 2]) expect(pace.begin(one)).toHaveProperty('end');
    expect(pace.begin(one)).toEqual({ wait: 30 });
    expect(pace.begin(other)).toHaveProperty('end');
    now = 29_000;
    expect(pace.begin(one)).toEqual({ wait: 1 });
    now = 30_000;
    expect(pace.begin(one)).toHaveProperty('end');
    expect(pace.begin(one)).toEqual({ wait: 30 });
  });

  test('allows so many requests at once, and counts an answer once', () => {
    const pace = new Pace({ requestsPerMinute: 1000, concurrentRequests: 2 }, () => 0);
    const [first] = [pace.begin(one), pace.begin(one)] as { end(): void }[];
    expect(pace.begin(one)).toEqual({ wait: 1 });
    expect(pace.begin(other)).toHaveProperty('end');
    first!.end();
    first!.end();
    expect(pace.begin(one)).toHaveProperty('end');
    expect(pace.begin(one)).toEqual({ wait: 1 });
  });
});
