import type { QubeSpec, World } from '../../world.js';
import { type Exchange, partsOf } from './recording.js';

/**
 * The world a recording was made in. The given one, if the recording's first listing names the same qubes; else one made
 * from what the recording shows before anything is changed: who is listed, and what is set, tagged and enabled on them.
 */
export function worldOf(exchanges: readonly Exchange[], known: World): World {
  const listed = firstListing(exchanges);
  if (listed === null) return known;
  const names = new Set(['dom0', ...known.qubes.map(({ name }) => name)]);
  if (listed.length === names.size && listed.every(({ name }) => names.has(name))) return known;
  const seen = firstReads(exchanges);
  const qubes = listed
    .filter(({ klass }) => klass !== 'AdminVM')
    .map(({ name, klass, state, uuid }) => specOf(name, klass, state, uuid, seen.get(name), known));
  const there = new Set(['dom0', ...qubes.map(({ name }) => name)]);
  const properties = { ...known.properties, ...seen.get('')?.properties };
  dropAbsent(properties, there);
  const fallback = properties.default_template ?? qubes.find((qube) => qube.class === 'TemplateVM')?.name;
  for (const qube of qubes) {
    dropAbsent(qube.properties ?? {}, there);
    const based = qube.class === 'AppVM' || qube.class === 'DispVM';
    if (based && typeof fallback === 'string' && !there.has(qube.template ?? '')) qube.template = fallback;
  }
  const kernel = properties.default_kernel;
  const kernels = [...new Set([...(known.kernels ?? []), ...(typeof kernel === 'string' ? [kernel] : [])])];
  return { ...known, properties, kernels, qubes };
}

/** What names a qube that is not there is left to its default. */
function dropAbsent(properties: Record<string, unknown>, there: ReadonlySet<string>): void {
  for (const [name, value] of Object.entries(properties)) {
    if (VM_VALUED.has(name) && typeof value === 'string' && !there.has(value)) delete properties[name];
  }
}

const VM_VALUED = new Set([
  'audiovm',
  'clockvm',
  'default_audiovm',
  'default_guivm',
  'guivm',
  'netvm',
  'relayvm',
  'default_dispvm',
  'default_netvm',
  'default_template',
  'management_dispvm',
  'updatevm',
]);

interface Listed {
  readonly name: string;
  readonly klass: string;
  readonly state: string;
  readonly uuid: string | undefined;
}

function firstListing(exchanges: readonly Exchange[]): Listed[] | null {
  for (const { request, response } of exchanges) {
    const { method, dest } = partsOf(request);
    if (/^admin\.vm\.(Create|Remove)/.test(method) && response.startsWith('0\0')) return null;
    if (method !== 'admin.vm.List' || dest !== 'dom0' || !response.startsWith('0\0dom0 ')) continue;
    if (!request.includes(' dom0 name ')) continue;
    return [...response.slice(2).matchAll(/^(\S+) class=(\S+) state=(\S+)(?: uuid=(\S+))?$/gm)].map(
      ([, name = '', klass = '', state = '', uuid]) => ({ name, klass, state, uuid }),
    );
  }
  return null;
}

interface Seen {
  readonly properties: Record<string, string | number | boolean | null>;
  readonly features: Record<string, string>;
  tags: string[] | undefined;
  qid: number | undefined;
}

/** What was read from each qube (from the host itself: '') before the first request that could change it. */
function firstReads(exchanges: readonly Exchange[]): Map<string, Seen> {
  const seen = new Map<string, Seen>();
  const changed = new Set<string>();
  for (const { request, response } of exchanges) {
    const { method, argument, dest } = partsOf(request);
    const holder = method.startsWith('admin.property.') ? '' : dest;
    const verb = method.split('.').at(-1) ?? '';
    if (
      !/^(List|Get|GetAll|GetDefault|Help|Info|CurrentState|Available|Attached|Assigned|Check\w+)$/.test(verb)
    ) {
      changed.add(holder);
    }
    if (changed.has(holder) || !response.startsWith('0\0')) continue;
    let entry = seen.get(holder);
    if (entry === undefined) {
      entry = { properties: {}, features: {}, tags: undefined, qid: undefined };
      seen.set(holder, entry);
    }
    const data = response.slice(2);
    if (/property\.GetAll$/.test(method)) {
      for (const line of data.split('\n'))
        readProperty(entry, line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1));
    } else if (/property\.Get$/.test(method)) readProperty(entry, argument, data);
    else if (method === 'admin.vm.tag.List') entry.tags = data.split('\n').filter((tag) => tag !== '');
    else if (method === 'admin.vm.feature.Get') entry.features[argument] = data;
  }
  return seen;
}

const IDENTITY = new Set(['name', 'qid', 'uuid', 'dispid']);

function readProperty(entry: Seen, name: string, text: string): void {
  const match = /^default=False type=(\w+) (.*)$/s.exec(text);
  if (match !== null && name === 'qid') entry.qid = Number(match[2]);
  if (match === null || IDENTITY.has(name)) return;
  const [, type, value = ''] = match;
  entry.properties[name] =
    type === 'int'
      ? Number(value)
      : type === 'bool'
        ? value === 'True'
        : type === 'vm' && value === ''
          ? null
          : value;
}

function specOf(
  name: string,
  klass: string,
  state: string,
  uuid: string | undefined,
  seen: Seen | undefined,
  known: World,
): QubeSpec {
  const like = known.qubes.find((qube) => qube.name === name && qube.class === klass);
  const { label, template, ...properties } = { ...like?.properties, ...seen?.properties };
  const base = like ?? { name, class: klass as QubeSpec['class'], label: 'red' };
  return {
    ...base,
    label: typeof label === 'string' ? label : base.label,
    ...(typeof template === 'string' ? { template } : {}),
    ...(seen?.qid === undefined ? {} : { qid: seen.qid }),
    ...(uuid === undefined ? {} : { uuid }),
    ...(state === 'Running' || state === 'Paused' ? { state } : {}),
    properties,
    features: { ...base.features, ...seen?.features },
    ...(seen?.tags === undefined ? {} : { tags: seen.tags }),
  };
}
