import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'smol-toml';
import { type HostSpec, loadHostSpec } from '../../sim/index.js';

type Qube = HostSpec['qubes'][number];

const MADE = ['ai-managed', 'ai-born', 'created-by-mcp-control'];
const CEILING = ['action=accept dst4=10.0.0.0/8', 'action=drop'];
const made = (name: string, changes: Partial<Qube> & { tags?: string[] } = {}): Qube => ({
  name,
  class: 'AppVM',
  label: 'red',
  template: 'ai-debian',
  firewall: CEILING,
  features: { 'qmcp-network': 'sys-ai-net' },
  ...changes,
  properties: {
    netvm: 'sys-ai-net',
    default_dispvm: null,
    guivm: null,
    audiovm: null,
    ...changes.properties,
  },
  tags: [...MADE, ...(changes.tags ?? [])],
});
const FULL = ['ai-exec', 'ai-net', 'ai-full'];
const stick = (port: string) => ({
  class: 'block' as const,
  port,
  name: 'stick',
  mode: 'w' as const,
  size: 2 ** 30,
});

/** A host with every kind of qube that a world can have, so that few calls succeed. */
export function crowdedHost(): HostSpec {
  const demo = loadHostSpec('demo');
  const qubes: Qube[] = [
    ...demo.qubes.map((qube) =>
      qube.name === 'vault' ? { ...qube, state: 'Running' as const, devices: [stick('sdv')] } : qube,
    ),
    made('ai-one', { tags: FULL, state: 'Running', devices: [stick('sda')] }),
    made('ai-two', { tags: FULL, state: 'Running', devices: [stick('sdb')] }),
    made('ai-net', { tags: ['ai-exec', 'ai-net'] }),
    made('ai-read'),
    made('ai-dvm', { tags: [...FULL, 'anon-vm'], properties: { template_for_dispvms: true } }),
    made('ai-locked', { tags: [...FULL, 'ai-egress-lock'] }),
    made('ai-guarded', { tags: FULL }),
    made('ai-alone', { tags: FULL, features: { 'qmcp-network': '' }, properties: { netvm: null } }),
    // A qube of the operator, enrolled as it is.
    {
      name: 'ai-lent',
      class: 'AppVM',
      label: 'blue',
      template: 'debian-13',
      tags: ['ai-managed', ...FULL],
      properties: { netvm: 'sys-firewall' },
    },
    made('ai-gone', {
      tags: [...FULL, 'ai-tombstone'],
      features: {
        'qmcp-entombed': '1795000000',
        'qmcp-network': 'sys-ai-net',
      },
    }),
  ];
  return { ...demo, qubes };
}

/** Names that exist and names that could, on either side of the world's edge. */
export const NAMES = {
  inside: [
    'ai-one',
    'ai-two',
    'ai-net',
    'ai-read',
    'ai-dvm',
    'ai-locked',
    'ai-alone',
    'ai-lent',
    'ai-debian',
  ],
  never: ['ai-guarded', 'ai-gone', 'vault', 'work', 'sys-ai-net', 'mcp-control', 'no-such-qube'],
  free: ['ai-a', 'ai-b', 'ai-c', 'work-a', 'ai-gone'],
};

/** The limits of a world's budget. */
export type Limits = Readonly<Record<string, number>>;

/** Limits that a few calls can reach, and a ceiling that some rules exceed. */
export function tight(root: string, limits: Limits = {}): void {
  const path = join(root, 'etc/qmcp/qmcp.toml');
  const config = parse(readFileSync(path, 'utf8')) as { world: { ai: Record<string, unknown> } };
  Object.assign(config.world.ai, {
    birth_ceiling: 'net',
    guarded: ['ai-guarded'],
    properties: ['label', 'memory', 'vcpus'],
    features: ['x-note'],
    egress: [{ to: '10.0.0.0/8' }, { to: 'dns' }, { to: '*.example.org', protocol: 'tcp', ports: '443' }],
    budget: {
      ...{ qubes: 11, disk: 30 * 2 ** 30, private_size: 4 * 2 ** 30, running: 4, memory: 20_000, vcpus: 9 },
      ...{ calls_per_minute: 100_000, creates_per_hour: 100_000, concurrent_calls: 16 },
      ...limits,
    },
  });
  writeFileSync(path, stringify(config));
}
