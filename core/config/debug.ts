import { BadConfig, suggestion } from './fault.js';

/** The channels of QMCP_DEBUG, each with what its lines say. */
export const DEBUG_CHANNELS = {
  config: 'where each value of the configuration comes from',
  boot: 'which plugins are found, loaded or refused, and what dom0 answers',
  qrexec: 'each qrexec call: target, service, how it ended, and how many bytes it took',
  calls: 'each tool call: the tool, and how it ended',
} as const;

export type DebugChannel = keyof typeof DEBUG_CHANNELS;

const NAMES = Object.keys(DEBUG_CHANNELS) as DebugChannel[];

/** The channels that the text names, separated by commas; `*` names all of them. Throws BadConfig for an unknown one. */
export function parseDebugChannels(text: string): ReadonlySet<DebugChannel> {
  const words = text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
  return new Set(words.flatMap((word) => (word === '*' ? NAMES : [channelNamed(word)])));
}

function channelNamed(word: string): DebugChannel {
  const channel = NAMES.find((name) => name === word);
  if (channel !== undefined) return channel;
  const hint = suggestion(word, NAMES).replace(/^expected one of .*/, '');
  throw new BadConfig(
    `environment: QMCP_DEBUG: unknown channel ${JSON.stringify(word)}; ${hint}${hint && ' '}the channels are ${NAMES.join(', ')}, and * for all of them`,
  );
}
