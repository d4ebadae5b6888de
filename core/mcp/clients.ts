/** The clients of a server over HTTP: who they are, what they may call, and how much of it. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Session, Tool } from '../api/index.js';

/** The tools that a client may call: a part of those that are served. */
export interface Rights {
  readonly readOnly: boolean;
  /** Names of tools; `*` stands for any part of a name. All, if absent. */
  readonly tools?: readonly string[];
}

export const EVERYTHING: Rights = { readOnly: false };

/** A client that the server knows. */
export interface Client {
  /** For the operator's logs. */
  readonly name: string;
  readonly rights: Rights;
  /** The owner of the state that the server keeps for the client; undefined if each session has its own. */
  readonly session: Session | undefined;
}

/** Whether a client may call the tool. */
export function mayCall({ readOnly, tools }: Rights, tool: Pick<Tool, 'name' | 'effect'>): boolean {
  return (
    (!readOnly || tool.effect === 'read') &&
    (tools === undefined || tools.some((pattern) => toRegExp(pattern).test(tool.name)))
  );
}

const toRegExp = (pattern: string) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`);

/** A token that the operator gave out. One without a name may be in many hands, so it tells no client from another. */
export interface Token {
  readonly name: string | undefined;
  readonly hash: Uint8Array;
  readonly rights: Rights;
}

/** A file of tokens with a mistake. The message starts with the number of the line. */
export class BadTokens extends Error {
  override readonly name = 'BadTokens';
}

const SECRET = /^[\x21-\x7e]{16,}$/;
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
const PATTERNS = /^tools=([a-z0-9_*]+(?:,[a-z0-9_*]+)*)$/;

/**
 * Reads a file of tokens. Each line is `NAME TOKEN`, then `read-only` or `tools=NAME,…` to narrow what the token is good for. A file with one
 * word has one token without a name. Throws BadTokens.
 */
export function parseTokens(text: string): Token[] {
  const lines = text
    .split('\n')
    .map((line, index) => ({ words: line.replace(/#.*/, '').trim().split(/\s+/), number: index + 1 }))
    .filter(({ words }) => words[0] !== '');
  const [first] = lines;
  if (lines.length === 1 && first!.words.length === 1)
    return [tokenOf(undefined, first!.words[0]!, [], first!.number)];
  const tokens = lines.map(({ words: [name = '', secret = '', ...narrowing], number }) =>
    tokenOf(name, secret, narrowing, number),
  );
  if (tokens.length === 0) throw new BadTokens('1: the file contains no token');
  for (const key of ['name', 'hash'] as const) {
    const seen = tokens.map((token) => String(token[key]));
    const twice = seen.findIndex((value, index) => seen.indexOf(value) !== index);
    if (twice >= 0)
      throw new BadTokens(
        `${lines[twice]!.number}: this ${key === 'name' ? 'name' : 'token'} is there twice`,
      );
  }
  return tokens;
}

function tokenOf(
  name: string | undefined,
  secret: string,
  narrowing: readonly string[],
  line: number,
): Token {
  if (name !== undefined && !NAME.test(name))
    throw new BadTokens(`${line}: expected a name: letters, digits, dots, _ and -`);
  if (!SECRET.test(secret))
    throw new BadTokens(
      `${line}: expected a token of at least 16 visible ASCII characters; to make one, run openssl rand -hex 32`,
    );
  let rights = EVERYTHING;
  for (const word of narrowing) {
    const [, patterns] = PATTERNS.exec(word) ?? [];
    if (word === 'read-only') rights = { ...rights, readOnly: true };
    else if (patterns !== undefined) rights = { ...rights, tools: patterns.split(',') };
    else throw new BadTokens(`${line}: expected read-only or tools=NAME,NAME after the token`);
  }
  return { name, hash: hashOf(secret), rights };
}

const hashOf = (text: string): Uint8Array => createHash('sha256').update(text).digest();

const clientOf = (name: string | undefined, rights: Rights): Client => ({
  name: name ?? 'token',
  rights,
  session: name === undefined ? undefined : {},
});

/** Finds the client of a token, in a time that does not depend on the tokens. */
export class TokenClients {
  private readonly clients: readonly { readonly hash: Uint8Array; readonly client: Client }[];

  constructor(tokens: readonly Token[]) {
    this.clients = tokens.map(({ name, hash, rights }) => ({ hash, client: clientOf(name, rights) }));
  }

  find(sent: string): Client | undefined {
    const hash = hashOf(sent);
    return this.clients.filter((one) => timingSafeEqual(one.hash, hash))[0]?.client;
  }
}

/** How much one client may ask for. */
export interface Limits {
  readonly requestsPerMinute: number;
  /** Requests without an answer at once. */
  readonly concurrentRequests: number;
}

/** Counts the requests of each client. */
export class Pace {
  private readonly clients = new WeakMap<object, { left: number; since: number; inProgress: number }>();

  constructor(
    private readonly limits: Limits,
    private readonly now = () => performance.now(),
  ) {}

  /** Counts a request. Returns the seconds to wait if there are too many; otherwise call `end` when it is answered. */
  begin(client: object): { readonly wait: number } | { end(): void } {
    const { requestsPerMinute, concurrentRequests } = this.limits;
    const now = this.now();
    const known = this.clients.get(client) ?? { left: requestsPerMinute, since: now, inProgress: 0 };
    this.clients.set(client, known);
    const perMillisecond = requestsPerMinute / 60_000;
    known.left = Math.min(known.left + (now - known.since) * perMillisecond, requestsPerMinute);
    known.since = now;
    if (known.left < 1) return { wait: Math.ceil((1 - known.left) / perMillisecond / 1000) };
    if (known.inProgress >= concurrentRequests) return { wait: 1 };
    known.left -= 1;
    known.inProgress += 1;
    let ended = false;
    return {
      end: () => {
        if (!ended) known.inProgress -= 1;
        ended = true;
      },
    };
  }
}
