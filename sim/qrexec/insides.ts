import type { Guest, GuestEngine } from '../guests/guest.js';
import type { Host } from '../host/host.js';

/** The guests of all running qubes: started with their qube, stopped with it, and their disks deleted when it is removed. */
export class RunningGuests {
  private readonly guests = new Map<string, Guest>();
  private readonly detach: (() => void)[];

  private constructor(
    private readonly host: Host,
    private readonly engine: GuestEngine,
  ) {
    const power = host.onPower(async (name, change) => {
      await this.stop(name);
      if (change === 'started') await this.start(name);
      else if (change === 'removed') this.engine.forget(name);
    });
    this.detach = [power, host.onImport((to, from) => this.engine.import(to, from))];
  }

  /** Qubes that run at the beginning have guests too. */
  static async of(host: Host, engine: GuestEngine): Promise<RunningGuests> {
    const insides = new RunningGuests(host, engine);
    for (const [name, { type, power_state }] of Object.entries(host.system()))
      if (type !== 'AdminVM' && type !== 'RemoteVM' && power_state === 'Running') await insides.start(name);
    return insides;
  }

  of(name: string): Guest | undefined {
    return this.guests.get(name);
  }

  async close(): Promise<void> {
    for (const detach of this.detach) detach();
    for (const name of [...this.guests.keys()]) await this.stop(name);
  }

  private async start(name: string): Promise<void> {
    const qube = this.host.qube(name);
    if (qube === undefined) return;
    this.guests.set(name, await this.engine.start({ name, template: qube.template, class: qube.class }));
  }

  private async stop(name: string): Promise<void> {
    const guest = this.guests.get(name);
    this.guests.delete(name);
    await guest?.stop();
  }
}
