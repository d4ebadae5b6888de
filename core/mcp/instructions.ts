import type { Plugin } from '../api/index.js';

/** The instructions of the server itself for a client's model. Plugins add sentences about their tools. */
export const INSTRUCTIONS = [
  'You work with a bounded set of qubes (virtual machines) on a Qubes OS host.',
  'A qube you may not use and a qube that does not exist give the same answer: not-found.',
  'A call that is refused is a result with isError and error.code; its text says what you can do next.',
  'The whole schemas of a tool are at tool://NAME.',
].join(' ');

type Instructing = Pick<Plugin, 'instructions' | 'tools'>;

/** The server's instructions with those of plugins. A sentence that names a tool of its plugin needs that tool to be served. */
export function instructionsOf(plugins: readonly Instructing[], served: readonly string[]): string {
  const sentences = plugins.flatMap(({ instructions = [], tools }) => {
    const absent = tools.map(({ name }) => name).filter((name) => !served.includes(name));
    return instructions.filter((sentence) => !absent.some((name) => wordsOf(sentence).includes(name)));
  });
  return [INSTRUCTIONS, ...sentences].join(' ');
}

const wordsOf = (sentence: string): string[] => sentence.match(/[a-z0-9_]+/g) ?? [];
