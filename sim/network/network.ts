/**
 * The network of a host as it is at this moment. A network qube applies the rules of the qubes that are connected to it when it sees
 * a change: at once, unless a test holds it back.
 */
import type { Host } from '../host/host.js';
import type { QubeView } from '../host/view.js';
import { type Destination, type NetworkQube, type Reach, reach } from './reach.js';

/** Since this version of its tools, a network qube ends open connections that new rules do not allow. */
const ENDS_CONNECTIONS = [4, 2] as const;

/** A connection that was made. It stays open while its network carries it, even against newer rules where the tools are old. */
export interface Connection {
  readonly open: boolean;
}

interface Link {
  readonly from: string;
  readonly to: Destination;
  readonly path: string;
  open: boolean;
}

interface Applied {
  readonly netvm: string | null;
  readonly firewall: readonly string[];
}

export class Network {
  private links: Link[] = [];
  /** The rules that each running qube's network qube has applied, while nothing new is applied. */
  private held: Map<string, Applied> | undefined;
  private readonly detach: (() => void)[];

  constructor(private readonly host: Host) {
    this.detach = [
      host.onEvent(({ name }) => {
        if (/^(firewall-changed|property-(set|reset):netvm|domain-(shutdown|unpaused))$/.test(name))
          this.settle();
      }),
      // A network qube that starts applies the rules of all qubes that are connected to it.
      host.onPower((name, change) => {
        if (change === 'started')
          for (const [client, { netvm }] of this.held ?? []) if (netvm === name) this.held!.delete(client);
        this.settle();
      }),
    ];
  }

  close(): void {
    for (const one of this.detach) one();
  }

  /** Whether a packet would arrive now. */
  reach(from: string, destination: Destination): Reach {
    return reach((name) => this.qubeOf(name), from, destination, this.host.now());
  }

  /** Makes a connection, or tells why it cannot be made. */
  connect(from: string, to: Destination): Connection | Exclude<Reach, { reached: true }> {
    const found = this.reach(from, to);
    if (!found.reached) return found;
    const link = { from, to: { ...to, host: found.address }, path: this.pathOf(from), open: true };
    this.links.push(link);
    return link;
  }

  /** From now on, no network qube applies new rules. A qube that starts or moves meanwhile has no rules there, and reaches nothing. */
  hold(): void {
    this.held ??= new Map(
      this.host
        .snapshot()
        .qubes.filter(({ state }) => state === 'Running')
        .map(({ name, firewall, properties }) => [name, { netvm: properties.netvm || null, firewall }]),
    );
  }

  /** Every network qube applies what has changed. */
  release(): void {
    this.held = undefined;
    this.settle();
  }

  /** Ends the connections that are not carried any more, or that the rules which are applied forbid. */
  private settle(): void {
    for (const link of this.links) {
      const carried = link.path === this.pathOf(link.from);
      const now = this.reach(link.from, link.to);
      const forbidden = !now.reached && this.endsConnections(now.at);
      link.open &&= carried && (now.reached || now.why !== 'unreachable') && !forbidden;
    }
    this.links = this.links.filter(({ open }) => open);
  }

  /** Whether the network qube that applies this qube's rules ends open connections. */
  private endsConnections(client: string): boolean {
    const gateway = this.host.qube(this.host.qube(client)?.netvm ?? '');
    const [major = 0, minor = 0] = (gateway?.inherited('qubes-agent-version') ?? '').split('.').map(Number);
    return major > ENDS_CONNECTIONS[0] || (major === ENDS_CONNECTIONS[0] && minor >= ENDS_CONNECTIONS[1]);
  }

  private pathOf(from: string): string {
    const path: string[] = [];
    for (let qube = this.host.qube(from); qube && !path.includes(qube.name); ) {
      if (qube.state !== 'Running' && qube.state !== 'Paused') return '';
      path.push(qube.name);
      qube = qube.netvm === null ? undefined : this.host.qube(qube.netvm);
    }
    return path.join(' ');
  }

  private qubeOf(name: string): NetworkQube | undefined {
    const qube = this.host.qube(name);
    if (qube === undefined) return undefined;
    const { state, netvm } = qube;
    const tor = !!qube.inherited('whonix-gw');
    return {
      ...{ name, state, netvm, tor, appliesRules: !tor && runsFirewall(qube) },
      firewall: this.appliedTo(qube),
      providesNetwork: qube.property('provides_network') === true,
      ipv6: qube.property('ip6') !== null,
    };
  }

  private appliedTo({ name, netvm, firewall }: QubeView): readonly string[] | null {
    if (this.held === undefined) return firewall;
    const applied = this.held.get(name);
    return applied !== undefined && applied.netvm === netvm ? applied.firewall : null;
  }
}

/** The service runs where the tools for it are installed, unless the operator switched it off. */
const runsFirewall = (qube: QubeView): boolean =>
  qube.state === 'Running' &&
  !!qube.inherited('qubes-firewall') &&
  qube.features.get('service.qubes-firewall') !== '';
