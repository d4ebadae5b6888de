import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { Check, Errors, type Static, Type } from '../core/vendor/typebox.js';
import { packageFile } from './root.js';

const Scalar = Type.Union([Type.String(), Type.Integer(), Type.Boolean(), Type.Null()]);
const Properties = Type.Record(Type.String(), Scalar);
const closed = { additionalProperties: false };

const Volume = Type.Object(
  {
    size: Type.Optional(Type.Integer({ minimum: 0 })),
    usage: Type.Optional(Type.Integer({ minimum: 0 })),
    pool: Type.Optional(Type.String()),
    rw: Type.Optional(Type.Boolean()),
    revisions_to_keep: Type.Optional(Type.Integer()),
    ephemeral: Type.Optional(Type.Boolean()),
    revisions: Type.Optional(Type.Array(Type.String())),
  },
  closed,
);

const Device = Type.Object(
  {
    class: Type.Enum(['block', 'usb', 'mic', 'pci']),
    port: Type.String(),
    id: Type.Optional(Type.String()),
    interfaces: Type.Optional(Type.String()),
    vendor: Type.Optional(Type.String()),
    product: Type.Optional(Type.String()),
    manufacturer: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
    serial: Type.Optional(Type.String()),
    parent: Type.Optional(Type.String()),
    mode: Type.Optional(Type.Enum(['r', 'w'])),
    size: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  closed,
);

const QubeSpec = Type.Object(
  {
    name: Type.String(),
    class: Type.Enum(['AdminVM', 'TemplateVM', 'AppVM', 'StandaloneVM', 'DispVM', 'RemoteVM']),
    label: Type.String(),
    template: Type.Optional(Type.String()),
    uuid: Type.Optional(Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })),
    qid: Type.Optional(Type.Integer({ minimum: 0 })),
    dispid: Type.Optional(Type.Integer({ minimum: 0 })),
    state: Type.Optional(Type.Enum(['Halted', 'Running', 'Paused'])),
    tags: Type.Optional(Type.Array(Type.String({ pattern: '^[A-Za-z0-9_-]+$' }))),
    features: Type.Optional(Type.Record(Type.String(), Type.String())),
    properties: Type.Optional(Properties),
    firewall: Type.Optional(Type.Array(Type.String())),
    notes: Type.Optional(Type.String()),
    volumes: Type.Optional(Type.Record(Type.String(), Volume)),
    devices: Type.Optional(Type.Array(Device)),
  },
  closed,
);

/** A host at its start. Everything left out has the default of a new Qubes installation. */
export const HostSpec = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    comment: Type.Optional(Type.String()),
    /** The release whose Admin API the host speaks; 4.4 by default. */
    api: Type.Optional(Type.Enum(['4.2', '4.3', '4.4'])),
    /** Global properties, as `qubes-prefs` sets them. */
    properties: Type.Optional(Properties),
    /** Custom labels: name to `0xRRGGBB`. */
    labels: Type.Optional(Type.Record(Type.String(), Type.String({ pattern: '^0x[0-9a-fA-F]{6}$' }))),
    kernels: Type.Optional(Type.Array(Type.String())),
    pools: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String(),
            driver: Type.String(),
            options: Type.Optional(Type.Record(Type.String(), Type.String())),
            size: Type.Optional(Type.Integer()),
            usage: Type.Optional(Type.Integer()),
          },
          closed,
        ),
      ),
    ),
    /** Device classes with an extension installed; a bare core has `block` and `pci` only. */
    deviceclasses: Type.Optional(Type.Array(Type.Enum(['block', 'usb', 'mic', 'pci']))),
    /**
     * What a source other than dom0 may list and hear when no qrexec policy is connected: names, `@tag:x`, `@anyvm` or
     * `@adminvm`.
     */
    visible: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
    /** MiB of memory and processors of the machine, MiB of dom0. */
    machine: Type.Optional(
      Type.Object(
        {
          memory: Type.Optional(Type.Integer()),
          cpus: Type.Optional(Type.Integer()),
          dom0: Type.Optional(Type.Integer()),
        },
        closed,
      ),
    ),
    qubes: Type.Array(QubeSpec, { minItems: 1 }),
    /** Path of a qmcp.toml for this host, relative to this file. */
    qmcp: Type.Optional(Type.String()),
  },
  closed,
);

export type HostSpec = Static<typeof HostSpec>;
export type QubeSpec = Static<typeof QubeSpec>;
export type DeviceSpec = Static<typeof Device>;

export class HostSpecError extends Error {
  override readonly name = 'HostSpecError';
}

/** Loads a shipped file by its name, or any file by its path. `qmcp` in the result is absolute. */
export function loadHostSpec(nameOrFile: string): HostSpec {
  const shipped = /^[A-Za-z0-9_.-]+$/.test(nameOrFile)
    ? packageFile('sim', 'worlds', `${nameOrFile}.json`)
    : undefined;
  const file = shipped !== undefined && existsSync(shipped) ? shipped : resolve(nameOrFile);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new HostSpecError(
      `there is no simulated host ${nameOrFile}: neither sim/worlds/${nameOrFile}.json nor ${file} exists`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HostSpecError(`${file} is not JSON: ${(error as Error).message}`);
  }
  const world = parseHostSpec(value, file);
  if (world.qmcp === undefined || isAbsolute(world.qmcp)) return world;
  return { ...world, qmcp: resolve(dirname(file), world.qmcp) };
}

export function parseHostSpec(value: unknown, file = 'host'): HostSpec {
  if (Check(HostSpec, value)) return value;
  const [first] = Errors(HostSpec, value)[1];
  const path = (first as { instancePath?: string } | undefined)?.instancePath || '/';
  throw new HostSpecError(`${file}: ${path}: ${first?.message ?? 'does not describe a host'}${extra(first)}`);
}

function extra(error: unknown): string {
  const params = (error as { params?: { additionalProperties?: string[] } } | undefined)?.params;
  const keys = params?.additionalProperties;
  return keys === undefined ? '' : ` (${keys.join(', ')})`;
}
