import type { Api } from './api.js';
import { errors } from './errors.js';
import { type EventArgs, Events, type HostEvent, type Subject } from './events.js';
import { Faults } from './faults.js';
import { Storage } from './pools.js';
import type { PropertyValue, Qube } from './qube.js';
import { Random } from './random.js';

export type PowerChange = 'started' | 'stopped' | 'removed';

export interface Label {
  readonly index: number;
  readonly name: string;
  readonly color: string;
}

export interface HostOptions {
  /** The same seed draws the same uuids, disposable numbers and tokens. */
  readonly seed?: number;
  /** How the host waits; replaying tests replace it. */
  readonly wait?: (seconds: number) => Promise<void>;
  /** Seconds since the epoch. */
  readonly now?: () => number;
  /** Overrides the `api` of the host's description. */
  readonly api?: Api;
}

/** True if this source may list this qube, or hear of it. Stands for the qrexec policy of `admin.vm.List` and `admin.Events`. */
export type Visibility = (service: string, argument: string, source: string, target: string) => boolean;

export interface VolumeRef {
  readonly qube: string;
  readonly volume: string;
}

/** Reads a property's value: the one that was set, or the default that its definition computes. */
export interface Properties {
  read(host: HostState, holder: Qube | null, name: string): PropertyValue | undefined;
}

/**
 * The state of a simulated host: qubes, volumes, labels, pools, devices, and the operations in progress. The functions of this
 * folder work on it; `host.ts` offers them to the outside.
 */
export class HostState {
  readonly random: Random;
  readonly faults: Faults;
  readonly storage = new Storage();
  readonly labels: Label[] = [];
  readonly globals = new Map<string, PropertyValue>();
  readonly timing = { shutdown: 0 };
  kernels: readonly string[] = [];
  deviceClasses: readonly string[] = ['block', 'pci'];
  /** MiB, processors, MiB. */
  machine = { memory: 16384, cpus: 8, dom0: 4096 };
  visible: Visibility = () => false;

  readonly #qubes = new Map<string, Qube>();
  readonly #byUuid = new Map<string, Qube>();
  readonly #qids = new Set<number>();
  readonly #events = new Events<HostState>();
  readonly #power = new Set<(name: string, change: PowerChange) => unknown>();
  readonly #imports = new Set<(to: VolumeRef, from: VolumeRef | null) => unknown>();
  #sorted: readonly Qube[] | null = null;
  #lowestQid = 1;
  #xid = 0;
  #revision = 0;
  #following: Promise<unknown>[] = [];
  readonly #background = new Set<Promise<unknown>>();

  readonly #options: HostOptions;
  readonly #properties: Properties;

  constructor(
    readonly api: Api,
    options: HostOptions,
    properties: Properties,
    react: (events: Events<HostState>) => void,
  ) {
    this.#options = options;
    this.#properties = properties;
    this.random = new Random(options.seed ?? 1);
    this.faults = new Faults(this.random);
    react(this.#events);
  }

  /** A start waits for listeners that return promises; a rejection means that the qube's qrexec never answers. */
  onPower(listener: (name: string, change: PowerChange) => unknown): () => void {
    this.#power.add(listener);
    return () => this.#power.delete(listener);
  }

  /** A volume's contents were replaced: by another volume's, or (null) by an empty volume. */
  onImport(listener: (to: VolumeRef, from: VolumeRef | null) => unknown): () => void {
    this.#imports.add(listener);
    return () => this.#imports.delete(listener);
  }

  onEvent(listener: (event: HostEvent) => void): () => void {
    return this.#events.subscribe(listener);
  }

  /** Resolves when nothing runs in the background: no preloading, and no shutdown without a waiting caller. */
  async idle(): Promise<void> {
    while (this.#background.size > 0) await Promise.allSettled([...this.#background]);
  }

  since(api: Api): boolean {
    return this.api >= api;
  }

  now(): number {
    return this.#options.now?.() ?? Date.now() / 1000;
  }

  wait(seconds: number): Promise<void> {
    if (this.#options.wait !== undefined) return this.#options.wait(seconds);
    if (seconds === 0) return Promise.resolve();
    return new Promise((resolve) => {
      setTimeout(resolve, seconds * 1000).unref?.();
    });
  }

  get dom0(): Qube {
    return this.domain('dom0');
  }

  /** In the order they were created; dom0 is first. */
  qubes(): IterableIterator<Qube> {
    return this.#qubes.values();
  }

  /** By name, dom0 first: the order of every listing. */
  sorted(): readonly Qube[] {
    if (this.#sorted === null) {
      const [dom0, ...others] = [...this.#qubes.values()];
      others.sort((a, b) => (a.name < b.name ? -1 : 1));
      this.#sorted = dom0 === undefined ? others : [dom0, ...others];
    }
    return this.#sorted;
  }

  /** By name, or since 4.3 by `uuid:…`. */
  find(nameOrUuid: string): Qube | undefined {
    if (nameOrUuid.startsWith('uuid:') && this.since('4.3')) return this.#byUuid.get(nameOrUuid.slice(5));
    return this.#qubes.get(nameOrUuid);
  }

  domain(nameOrUuid: string): Qube {
    const qube = this.find(nameOrUuid);
    if (qube === undefined) throw errors.noDomain(nameOrUuid);
    return qube;
  }

  register(qube: Qube): void {
    if (this.#qubes.has(qube.name)) throw errors.exists(qube.name);
    this.#qubes.set(qube.name, qube);
    this.#byUuid.set(qube.uuid, qube);
    this.#qids.add(qube.qid);
    this.#sorted = null;
  }

  deregister(qube: Qube): void {
    this.#qubes.delete(qube.name);
    this.#byUuid.delete(qube.uuid);
    this.#qids.delete(qube.qid);
    this.#lowestQid = Math.min(this.#lowestQid, qube.qid);
    this.#sorted = null;
  }

  /** The lowest free number. */
  freeQid(): number {
    while (this.#qids.has(this.#lowestQid)) this.#lowestQid++;
    return this.#lowestQid;
  }

  freeDispid(): number {
    const used = new Set<PropertyValue | undefined>();
    for (const qube of this.#qubes.values()) {
      if (qube.class === 'DispVM') used.add(qube.set.get('dispid'));
      if (/^disp\d+$/.test(qube.name)) used.add(Number(qube.name.slice(4)));
    }
    for (;;) {
      const dispid = this.random.below(10000);
      if (!used.has(dispid)) return dispid;
    }
  }

  nextXid(): number {
    this.#xid += 1;
    return this.#xid;
  }

  revisionName(): string {
    this.#revision += 1;
    return `${new Date(this.now() * 1000).toISOString().slice(0, 19)}Z@${this.#revision}`;
  }

  global(name: string): PropertyValue {
    return this.#properties.read(this, null, name) ?? null;
  }

  property(qube: Qube, name: string): PropertyValue {
    return this.#properties.read(this, qube, name) ?? null;
  }

  /** Undefined for a property that the qube does not have, or that is unset without a default. */
  propertyOrUndefined(qube: Qube, name: string): PropertyValue | undefined {
    return this.#properties.read(this, qube, name);
  }

  /** The qube that a property names. */
  related(qube: Qube, property: 'template' | 'netvm' | 'guivm' | 'default_dispvm'): Qube | null {
    const name = this.property(qube, property);
    return typeof name === 'string' ? (this.#qubes.get(name) ?? null) : null;
  }

  connectedTo(netvm: Qube): Qube[] {
    return [...this.#qubes.values()].filter((qube) => this.property(qube, 'netvm') === netvm.name);
  }

  basedOn(template: Qube): Qube[] {
    return [...this.#qubes.values()].filter((qube) => qube.set.get('template') === template.name);
  }

  fire(subject: Subject, name: string, args: EventArgs = {}): void {
    this.#events.fire(this, subject, name, args);
  }

  announce(subject: Subject, name: string, args: EventArgs = {}): void {
    this.#events.announce(this, subject, name, args);
  }

  /** A listener can make only a start fail; the end of a domain has already happened. */
  async powered(name: string, change: PowerChange): Promise<void> {
    for (const listener of [...this.#power]) {
      try {
        await listener(name, change);
      } catch (error) {
        if (change === 'started') throw error;
      }
    }
  }

  async imported(to: VolumeRef, from: VolumeRef | null): Promise<void> {
    for (const listener of [...this.#imports]) await listener(to, from);
  }

  /** Work that must be complete before the operation that caused it ends, but after subscribers heard its event. */
  follow(act: () => Promise<void>): void {
    this.#following.push(Promise.resolve().then(act));
  }

  async settled(): Promise<void> {
    while (this.#following.length > 0) await Promise.all(this.#following.splice(0));
  }

  /** Work in the background. Its failures are in no reply; the daemon logs them. */
  defer(act: () => Promise<void>): void {
    const work: Promise<unknown> = Promise.resolve()
      .then(act)
      .catch(() => undefined)
      .finally(() => this.#background.delete(work));
    this.#background.add(work);
  }
}
