import type { Random } from './random.js';

/** One fault at the Admin API. */
export interface Fault {
  /** A method; one that ends in `*` means all that begin like it. */
  readonly method: string;
  /** Affects only calls on this qube. */
  readonly dest?: string;
  /** How many calls it affects; by default all of them. */
  readonly count?: number;
  /** How many calls succeed first. */
  readonly after?: number;
  /** Affects one call in so many, by the host's seeded random numbers. */
  readonly oneIn?: number;
  /** Refuses with this exception, before anything happens. */
  readonly error?: { readonly type: string; readonly message: string };
  /** Closes the connection without a reply, before or after the call is carried out. */
  readonly drop?: 'before' | 'after';
  /** Waits this many milliseconds first. */
  readonly delay?: number;
}

/** Where a start can fail: no memory, an error of the hypervisor with this text, or a qrexec agent that never answers. */
export type StartFailure = 'memory' | 'hypervisor' | 'qrexec';

interface ArmedFault {
  readonly fault: Fault;
  after: number;
  count: number;
}

/** Faults that a test requests. There are none otherwise. */
export class Faults {
  readonly #armed = new Set<ArmedFault>();
  readonly #starts = new Map<string, { at: StartFailure; text: string; count: number }[]>();
  readonly #hung = new Set<string>();

  constructor(private readonly random: Random) {}

  /** Returns a function that removes the fault. */
  add(fault: Fault): () => void {
    const armed = { fault, after: fault.after ?? 0, count: fault.count ?? Number.POSITIVE_INFINITY };
    this.#armed.add(armed);
    return () => this.#armed.delete(armed);
  }

  /** Makes the next starts of a qube fail. */
  failStart(qube: string, at: StartFailure, options: { count?: number; text?: string } = {}): void {
    const list = this.#starts.get(qube) ?? [];
    const text = options.text ?? 'internal error: libxenlight failed to create new domain';
    list.push({ at, text, count: options.count ?? 1 });
    this.#starts.set(qube, list);
  }

  /** Makes the qube ignore requests to shut down, until `unhang`. */
  hangShutdown(qube: string): void {
    this.#hung.add(qube);
  }

  unhang(qube: string): void {
    this.#hung.delete(qube);
  }

  isHung(qube: string): boolean {
    return this.#hung.has(qube);
  }

  clear(): void {
    this.#armed.clear();
    this.#starts.clear();
    this.#hung.clear();
  }

  /** The fault for this call, if any. */
  take(method: string, dest: string): Fault | undefined {
    for (const armed of this.#armed) {
      const { fault } = armed;
      if (!hits(fault, method, dest)) continue;
      if (armed.after > 0) {
        armed.after--;
        continue;
      }
      if (fault.oneIn !== undefined && this.random.below(fault.oneIn) !== 0) continue;
      armed.count--;
      if (armed.count <= 0) this.#armed.delete(armed);
      return fault;
    }
    return undefined;
  }

  takeStart(qube: string, at: StartFailure): string | undefined {
    const list = this.#starts.get(qube);
    const next = list?.[0];
    if (list === undefined || next === undefined || next.at !== at) return undefined;
    next.count--;
    if (next.count <= 0) list.shift();
    return next.text;
  }
}

function hits(fault: Fault, method: string, dest: string): boolean {
  if (fault.dest !== undefined && fault.dest !== dest) return false;
  return fault.method.endsWith('*') ? method.startsWith(fault.method.slice(0, -1)) : method === fault.method;
}
