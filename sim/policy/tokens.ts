/** The tokens that stand for qubes in a policy: where they are allowed, and what they match. */
import {
  DISPOSABLE_OF,
  defaultDisposable,
  isAdminVm,
  mustBe,
  nameOf,
  type PolicySystem,
  qubeOf,
  Unanswerable,
} from './system.js';

/** The columns and parameters that can contain a token. */
export type Position = 'source' | 'target' | 'redirect';

/** The requested target: a name, or one of these. */
export type Requested = string;

export interface MatchContext {
  readonly system: PolicySystem;
  /** The caller: `@dispvm` has another meaning for each. */
  readonly source: string;
}

interface TokenKind {
  readonly positions: readonly Position[];
  matches(value: string, other: Requested, asking: MatchContext): boolean;
  /** The qubes that a person can choose for this token. */
  offers(value: string, system: PolicySystem): string[];
}

const names = (system: PolicySystem, keep: (name: string) => boolean): string[] =>
  Object.keys(system).filter(keep);
const disposables = (system: PolicySystem, keep: (name: string) => boolean = () => true): string[] =>
  names(system, (name) => system[name]!.template_for_dispvms === true && keep(name)).map(
    (name) => DISPOSABLE_OF + name,
  );

const EXACT: Readonly<Record<string, TokenKind>> = {
  '*': {
    positions: ['source', 'target'],
    matches: () => true,
    offers: (_, system) => [...names(system, () => true), ...disposables(system), '@dispvm'],
  },
  '@adminvm': {
    positions: ['source', 'target', 'redirect'],
    matches: (_, other) => isAdminVm(other),
    offers: () => ['@adminvm'],
  },
  '@anyvm': {
    positions: ['source', 'target'],
    matches: (_, other) => !isAdminVm(other),
    offers: (_, system) => [...names(system, (name) => !isAdminVm(name)), ...disposables(system), '@dispvm'],
  },
  '@default': {
    positions: ['target'],
    matches: (_, other) => other === '@default',
    offers: () => [],
  },
  '@dispvm': {
    positions: ['target', 'redirect'],
    matches: (_, other) => other === '@dispvm',
    offers: () => ['@dispvm'],
  },
};

const PREFIX_TOKENS: Readonly<Record<string, TokenKind>> = {
  '@type:': {
    positions: ['source', 'target'],
    matches: (value, other, { system }) => qubeOf(system, other)?.type === value,
    offers: (value, system) => names(system, (name) => system[name]!.type === value),
  },
  '@tag:': {
    positions: ['source', 'target'],
    matches: (value, other, { system }) => qubeOf(system, other)?.tags.includes(value) === true,
    offers: (value, system) => names(system, (name) => system[name]!.tags.includes(value)),
  },
  '@dispvm:@tag:': {
    positions: ['source', 'target'],
    matches: (value, other, { system, source }) => {
      const asked = other === '@dispvm' ? defaultDisposable(system, source) : other;
      if (asked === undefined || !asked.startsWith(DISPOSABLE_OF)) return false;
      const template = mustBe(system, asked.slice(DISPOSABLE_OF.length));
      return template.template_for_dispvms === true && template.tags.includes(value);
    },
    offers: (value, system) => disposables(system, (name) => system[name]!.tags.includes(value)),
  },
  '@dispvm:': {
    positions: ['source', 'target', 'redirect'],
    matches: (value, other, { system, source }) => {
      if (other === '@dispvm') {
        const asked = defaultDisposable(system, source);
        if (asked === undefined) throw new Unanswerable(`${source} has no default disposable template`);
        return asked === DISPOSABLE_OF + value;
      }
      return other.startsWith(DISPOSABLE_OF) && isSame(system, value, other.slice(DISPOSABLE_OF.length));
    },
    offers: (value, system) =>
      mustBe(system, value).template_for_dispvms ? [DISPOSABLE_OF + nameOf(system, value)!] : [],
  },
};

const NAME: TokenKind = {
  positions: ['source', 'target', 'redirect'],
  matches: (value, other, { system }) => (isAdminVm(value) ? isAdminVm(other) : isSame(system, value, other)),
  offers: (value, system) => {
    const name = nameOf(system, value);
    return name === undefined ? [] : [name];
  },
};

/** A name in a rule matches that name, whether or not the qube exists; only a uuid and a name are compared by look-up. */
function isSame(system: PolicySystem, one: string, other: string): boolean {
  if (one.startsWith('uuid:') === other.startsWith('uuid:')) return one === other;
  const name = nameOf(system, one);
  return name !== undefined && name === nameOf(system, other);
}

export interface Token {
  readonly text: string;
  matches(other: Requested, asking: MatchContext): boolean;
  offers(system: PolicySystem): string[];
}

/** A token that is allowed in `place`, or undefined: an unknown `@x`, an empty one, or one for other columns. */
export function parseToken(text: string, place: Position): Token | undefined {
  const found = kindOf(text);
  if (found === undefined || !found.kind.positions.includes(place)) return undefined;
  const { kind, value } = found;
  return {
    text,
    matches: (other, asking) => kind.matches(value, other, asking),
    offers: (system) => kind.offers(value, system),
  };
}

function kindOf(text: string): { kind: TokenKind; value: string } | undefined {
  if (text === '') return undefined;
  if (text !== '*' && !text.startsWith('@')) return { kind: NAME, value: text };
  if (Object.hasOwn(EXACT, text)) return { kind: EXACT[text]!, value: text };
  for (const [prefix, kind] of Object.entries(PREFIX_TOKENS)) {
    const value = text.slice(prefix.length);
    if (text.startsWith(prefix) && value !== '' && !value.startsWith('@')) return { kind, value };
  }
  return undefined;
}
