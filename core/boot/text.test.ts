import { describe, expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { pluginOf, serviceOf, toolOf } from '../../test/support/plugins.js';
import { defineGuestService, NoParams, Type } from '../api/index.js';
import { INSTRUCTIONS } from '../mcp/instructions.js';
import { graphOf } from './order.js';
import { textFault } from './text.js';

const service = serviceOf('a');
const codes = (changes: object) => {
  const plugin = pluginOf('a', { services: [service], tools: [toolOf('a_say', service, changes)] });
  const { plugins, problems } = graphOf([{ origin: 'a', plugin }]);
  return { loaded: plugins.length, problems: problems.map(({ code, message }) => `${code}: ${message}`) };
};

// ATTACK 26
describe('texts of a plugin', () => {
  test.each([
    ['a control character', 'Says\u0007 a word.', 'U+0007'],
    ['an escape sequence', 'Says \u001b[8mnothing\u001b[0m.', 'U+001B'],
    ['a zero-width space', 'Says a\u200bword.', 'U+200B'],
    ['a direction override', 'Says \u202eword.', 'U+202E'],
    ['a tag character', 'Says a word.\u{e0041}', 'U+E0041'],
    ['a variation selector', 'Says a word.\ufe0f', 'U+FE0F'],
    ['a private character', 'Says \ue000.', 'U+E000'],
    ['a blank letter', 'Says\u3164 a word.', 'U+3164'],
    ['a no-break space', 'Says\u00a0a word.', 'U+00A0'],
    ['a line separator', 'Says\u2028a word.', 'U+2028'],
    ['a tab', 'Says\ta word.', 'U+0009'],
  ])('a plugin with %s in a description does not load', (_what, description, point) => {
    expect(codes({ description })).toEqual({
      loaded: 0,
      problems: [
        expect.stringContaining(
          `text-unseen: tool a_say.description contains the invisible character ${point}`,
        ),
      ],
    });
  });

  test.each([
    ['the title', { title: 'x\u200b' }, 'tool a_say.title'],
    [
      'a description in a schema',
      { input: Type.Object({ q: Type.String({ description: '\u200b' }) }) },
      'input.properties.q.description',
    ],
    ['a default', { input: Type.Object({ q: Type.String({ default: '\u202e' }) }) }, 'q.default'],
    [
      'the name of a property',
      { output: Type.Object({ 'a\u200b': Type.Optional(Type.String()) }) },
      'a key of',
    ],
    ['a word of an enum', { input: Type.Object({ q: Type.Enum(['a', 'b\u00ad']) }) }, 'enum[1]'],
  ])('a plugin with an invisible character in %s does not load', (_what, changes, where) => {
    const { loaded, problems } = codes(changes);
    expect([loaded, problems.length]).toEqual([0, 1]);
    expect(problems[0]).toContain(where);
    // The message itself hides nothing.
    expect(textFault(problems[0]!, 2000)).toBeUndefined();
  });

  test('a plugin with an invisible character in a guest problem does not load', () => {
    const asking = defineGuestService('qmcp.a.Ask', {
      ...{ effect: 'read', capability: 'read', params: NoParams, reply: NoParams, invariants: [] },
      problems: { full: ['/path', 'is\u200bfull'] },
    });
    const { problems } = graphOf([
      {
        origin: 'a',
        plugin: pluginOf('a', { services: [service, asking], tools: [toolOf('a_say', service)] }),
      },
    ]);
    expect(problems.map(({ code }) => code)).toEqual(['text-unseen']);
    expect(problems[0]!.message).toContain('service qmcp.a.Ask.full[1]');
  });

  test('a plugin with a text that is too long for a reviewer does not load', () => {
    expect(codes({ description: 'x'.repeat(1001) }).problems[0]).toContain(
      'has 1001 characters; the limit is 1000',
    );
    expect(codes({ title: 'x'.repeat(101) }).problems[0]).toContain('the limit is 100');
    const many = Object.fromEntries(
      Array.from({ length: 120 }, (_, index) => [`p${index}`, Type.String({ description: 'x'.repeat(990) })]),
    );
    expect(codes({ input: Type.Object(many) }).problems[0]).toContain('all its text together');
  });

  test('texts may have paragraphs and letters of any script', () => {
    expect(codes({ description: 'Says a word.\n\nБез слов, 言葉, “quoted” – and so on.' })).toEqual({
      loaded: 1,
      problems: [],
    });
  });

  test("the shipped plugins and the server's instructions have only texts that pass these checks", () => {
    const candidates = BUILT_IN.map((plugin) => ({ origin: plugin.id, plugin }));
    expect(graphOf(candidates).problems).toEqual([]);
    expect(textFault(INSTRUCTIONS)).toBeUndefined();
  });
});
