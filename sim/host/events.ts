import type { PropertyValue, Qube } from './qube.js';

/** `null` is the host itself: global properties, pools, and added or removed qubes. */
export type Subject = Qube | null;
export type EventArgs = Readonly<Record<string, PropertyValue>>;

export interface HostEvent {
  readonly subject: Subject;
  readonly name: string;
  readonly args: EventArgs;
}

/** The reaction of the host to its own event. May throw an `ApiError` as a veto if it is a `pre` event. */
export type Effect<Host> = (host: Host, subject: Subject, args: EventArgs, name: string) => void;

/** Events in the daemon's order: subscribers hear an announcement (`pre`) before the reactions, and a report after them. */
export class Events<Host> {
  readonly #subscribers = new Set<(event: HostEvent) => void>();
  readonly #exact = new Map<string, Effect<Host>[]>();
  readonly #prefixes: [string, Effect<Host>][] = [];

  subscribe(listener: (event: HostEvent) => void): () => void {
    this.#subscribers.add(listener);
    return () => this.#subscribers.delete(listener);
  }

  /** `name` may end in `*`. */
  react(name: string, effect: Effect<Host>): void {
    if (name.endsWith('*')) {
      this.#prefixes.push([name.slice(0, -1), effect]);
      return;
    }
    const effects = this.#exact.get(name);
    if (effects === undefined) this.#exact.set(name, [effect]);
    else effects.push(effect);
  }

  fire(host: Host, subject: Subject, name: string, args: EventArgs = {}): void {
    this.#effects(host, subject, name, args);
    this.#deliver(subject, name, args);
  }

  announce(host: Host, subject: Subject, name: string, args: EventArgs = {}): void {
    this.#deliver(subject, name, args);
    this.#effects(host, subject, name, args);
  }

  #deliver(subject: Subject, name: string, args: EventArgs): void {
    if (this.#subscribers.size === 0) return;
    const event = { subject, name, args };
    for (const listener of [...this.#subscribers]) listener(event);
  }

  #effects(host: Host, subject: Subject, name: string, args: EventArgs): void {
    for (const effect of this.#exact.get(name) ?? []) effect(host, subject, args, name);
    for (const [prefix, effect] of this.#prefixes) {
      if (name.startsWith(prefix)) effect(host, subject, args, name);
    }
  }
}

/** A value as events carry it: as Python's `str` prints it. */
export function pythonStr(value: PropertyValue): string {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  return String(value);
}
