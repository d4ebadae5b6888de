/** What may stand for a qube in a policy, where, and what it matches. */
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

/** The columns and parameters a token can stand in. */
export type Place = 'source' | 'target' | 'redirect';

/** What a call asks for, in the place of a qube: a name, or one of these. */
export type Requested = string;

export interface Asking {
  readonly system: PolicySystem;
  /** Who calls: `@dispvm` means something else to each. */
  readonly source: string;
}

interface Kind {
  readonly places: readonly Place[];
  matches(value: string, other: Requested, asking: Asking): boolean;
  /** The qubes a person could be offered for this token. */
  offers(value: string, system: PolicySystem): string[];
}

const names = (system: PolicySystem, keep: (name: string) => boolean): string[] =>
  Object.keys(system).filter(keep);
const disposables = (system: PolicySystem, keep: (name: string) => boolean = () => true): string[] =>
  names(system, (name) => system[name]!.template_for_dispvms === true && keep(name)).map(
    (name) => DISPOSABLE_OF + name,
  );

const EXACT: Readonly<Record<string, Kind>> = {
  '*': {
    places: ['source', 'target'],
    matches: () => true,
    offers: (_, system) => [...names(system, () => true), ...disposables(system), '@dispvm'],
  },
  '@adminvm': {
    places: ['source', 'target', 'redirect'],
    matches: (_, other) => isAdminVm(other),
    offers: () => ['@adminvm'],
  },
  '@anyvm': {
    places: ['source', 'target'],
    matches: (_, other) => !isAdminVm(other),
    offers: (_, system) => [...names(system, (name) => !isAdminVm(name)), ...disposables(system), '@dispvm'],
  },
  '@default': {
    places: ['target'],
    matches: (_, other) => other === '@default',
    offers: () => [],
  },
  '@dispvm': {
    places: ['target', 'redirect'],
    matches: (_, other) => other === '@dispvm',
    offers: () => ['@dispvm'],
  },
};

const PREFIXED: Readonly<Record<string, Kind>> = {
  '@type:': {
    places: ['source', 'target'],
    matches: (value, other, { system }) => qubeOf(system, other)?.type === value,
    offers: (value, system) => names(system, (name) => system[name]!.type === value),
  },
  '@tag:': {
    places: ['source', 'target'],
    matches: (value, other, { system }) => qubeOf(system, other)?.tags.includes(value) === true,
    offers: (value, system) => names(system, (name) => system[name]!.tags.includes(value)),
  },
  '@dispvm:@tag:': {
    places: ['source', 'target'],
    matches: (value, other, { system, source }) => {
      const asked = other === '@dispvm' ? defaultDisposable(system, source) : other;
      if (asked === undefined || !asked.startsWith(DISPOSABLE_OF)) return false;
      const template = mustBe(system, asked.slice(DISPOSABLE_OF.length));
      return template.template_for_dispvms === true && template.tags.includes(value);
    },
    offers: (value, system) => disposables(system, (name) => system[name]!.tags.includes(value)),
  },
  '@dispvm:': {
    places: ['source', 'target', 'redirect'],
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

const NAME: Kind = {
  places: ['source', 'target', 'redirect'],
  matches: (value, other, { system }) => (isAdminVm(value) ? isAdminVm(other) : isSame(system, value, other)),
  offers: (value, system) => {
    const name = nameOf(system, value);
    return name === undefined ? [] : [name];
  },
};

/** A name of a rule is that name, whether or not there is such a qube; only across name and uuid is one looked up. */
function isSame(system: PolicySystem, one: string, other: string): boolean {
  if (one.startsWith('uuid:') === other.startsWith('uuid:')) return one === other;
  const name = nameOf(system, one);
  return name !== undefined && name === nameOf(system, other);
}

export interface Token {
  readonly text: string;
  matches(other: Requested, asking: Asking): boolean;
  offers(system: PolicySystem): string[];
}

/** A token that may stand in `place`, or undefined: an unknown `@x`, an empty one, or one that belongs elsewhere. */
export function parseToken(text: string, place: Place): Token | undefined {
  const found = kindOf(text);
  if (found === undefined || !found.kind.places.includes(place)) return undefined;
  const { kind, value } = found;
  return {
    text,
    matches: (other, asking) => kind.matches(value, other, asking),
    offers: (system) => kind.offers(value, system),
  };
}

function kindOf(text: string): { kind: Kind; value: string } | undefined {
  if (text === '') return undefined;
  if (text !== '*' && !text.startsWith('@')) return { kind: NAME, value: text };
  if (Object.hasOwn(EXACT, text)) return { kind: EXACT[text]!, value: text };
  for (const [prefix, kind] of Object.entries(PREFIXED)) {
    const value = text.slice(prefix.length);
    if (text.startsWith(prefix) && value !== '' && !value.startsWith('@')) return { kind, value };
  }
  return undefined;
}
