import type { HostSpec, QubeSpec } from '../../host-spec.js';
import { type Exchange, partsOf } from './recording.js';

/**
 * Describes the host on which a recording was made. That is the default, if the recording's first listing names the same qubes.
 * If not, the description is made from what the recording shows before its first change: the qubes, properties, tags and features.
 */
export function hostSpecOf(exchanges: readonly Exchange[], fallback: HostSpec): HostSpec {
  const listed = firstListing(exchanges);
  if (listed === null) return fallback;
  const expected = new Set(['dom0', ...fallback.qubes.map(({ name }) => name)]);
  if (listed.length === expected.size && listed.every(({ name }) => expected.has(name))) return fallback;
  const readings = firstReads(exchanges);
  const qubes = listed
    .filter((qube) => qube.class !== 'AdminVM')
    .map((qube) => specOf(qube, readings.get(qube.name), fallback));
  const names = new Set(['dom0', ...qubes.map(({ name }) => name)]);
  const properties = { ...fallback.properties, ...readings.get('')?.properties };
  dropAbsent(properties, names);
  const template = properties.default_template ?? qubes.find((qube) => qube.class === 'TemplateVM')?.name;
  for (const qube of qubes) {
    dropAbsent(qube.properties ?? {}, names);
    const based = qube.class === 'AppVM' || qube.class === 'DispVM';
    if (based && typeof template === 'string' && !names.has(qube.template ?? '')) qube.template = template;
  }
  const kernel = properties.default_kernel;
  const kernels = [
    ...new Set([...(fallback.kernels ?? []), ...(typeof kernel === 'string' ? [kernel] : [])]),
  ];
  return { ...fallback, properties, kernels, qubes };
}

/** Deletes the properties that name a missing qube, so that they have their defaults. */
function dropAbsent(properties: Record<string, unknown>, names: ReadonlySet<string>): void {
  for (const [name, value] of Object.entries(properties)) {
    if (VM_VALUED.has(name) && typeof value === 'string' && !names.has(value)) delete properties[name];
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

interface ListedQube {
  readonly name: string;
  readonly class: string;
  readonly state: string;
  readonly uuid: string | undefined;
}

function firstListing(exchanges: readonly Exchange[]): ListedQube[] | null {
  for (const { request, response } of exchanges) {
    const { method, dest } = partsOf(request);
    if (/^admin\.vm\.(Create|Remove)/.test(method) && response.startsWith('0\0')) return null;
    if (method !== 'admin.vm.List' || dest !== 'dom0' || !response.startsWith('0\0dom0 ')) continue;
    if (!request.includes(' dom0 name ')) continue;
    return [...response.slice(2).matchAll(/^(\S+) class=(\S+) state=(\S+)(?: uuid=(\S+))?$/gm)].map(
      ([, name = '', qubeClass = '', state = '', uuid]) => ({ name, class: qubeClass, state, uuid }),
    );
  }
  return null;
}

interface Readings {
  readonly properties: Record<string, string | number | boolean | null>;
  readonly features: Record<string, string>;
  tags: string[] | undefined;
  qid: number | undefined;
}

/** The values read from each qube (key '' for the host itself) before the first request that could change them. */
function firstReads(exchanges: readonly Exchange[]): Map<string, Readings> {
  const seen = new Map<string, Readings>();
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

function readProperty(entry: Readings, name: string, text: string): void {
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
  { name, class: qubeClass, state, uuid }: ListedQube,
  seen: Readings | undefined,
  fallback: HostSpec,
): QubeSpec {
  const like = fallback.qubes.find((qube) => qube.name === name && qube.class === qubeClass);
  const { label, template, ...properties } = { ...like?.properties, ...seen?.properties };
  const base = like ?? { name, class: qubeClass as QubeSpec['class'], label: 'red' };
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
