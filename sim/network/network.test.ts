import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRule, passes } from './firewall.js';
import { addressOf } from './internet.js';
import { type Destination, type NetworkQube, reach } from './reach.js';

const OPEN = ['action=accept'];
const net = (name: string, netvm: string | null, more: Partial<NetworkQube> = {}): NetworkQube => ({
  name,
  netvm,
  state: 'Running',
  providesNetwork: true,
  firewall: OPEN,
  appliesRules: true,
  tor: false,
  ipv6: false,
  ...more,
});
const web: Destination = { host: 'example.com', port: 443, protocol: 'tcp' };
const from = (qubes: NetworkQube[], destination = web) => {
  const result = reach((name) => qubes.find((qube) => qube.name === name), 'app', destination, 1000);
  return result.reached ? 'reached' : `${result.why} at ${result.at}`;
};
const app = (firewall: readonly string[] | null, more: Partial<NetworkQube> = {}) =>
  net('app', 'fw', { providesNetwork: false, firewall, ...more });
const chain = [net('fw', 'net'), net('net', null)];

describe('a packet', () => {
  it('a packet leaves along a chain of running network qubes', () => {
    expect(from([app(OPEN), ...chain])).toBe('reached');
  });

  it('a packet goes nowhere without a network, through a halted qube, or through one that provides no network', () => {
    expect(from([app(OPEN, { netvm: null }), ...chain])).toBe('unreachable at app');
    expect(from([app(OPEN), net('fw', 'net', { state: 'Halted' }), net('net', null)])).toBe(
      'unreachable at net',
    );
    expect(from([app(OPEN), net('fw', 'net', { providesNetwork: false }), net('net', null)])).toBe(
      'unreachable at net',
    );
    expect(from([app(OPEN), net('fw', 'app')])).toBe('unreachable at fw');
  });

  it('a packet is dropped by the first qube whose rules say so', () => {
    expect(from([app(['action=drop']), ...chain], { ...web, host: '1.2.3.4' })).toBe('blocked at app');
    expect(
      from([app(OPEN), net('fw', 'net', { firewall: ['action=drop'] }), net('net', null)], {
        ...web,
        host: '1.2.3.4',
      }),
    ).toBe('blocked at fw');
  });

  it('a packet is dropped only by rules that a firewall applies', () => {
    const shut = app(['action=drop']);
    const [fw, last] = [net('fw', 'net', { appliesRules: false }), net('net', null)];
    expect(from([shut, fw, last])).toBe('reached');
    expect(from([app(null), ...chain])).toBe('unresolved at app');
    expect(from([app(null), fw, last])).toBe('reached');
  });

  it('a packet through Tor passes no rule of its qube, is seen as from Tor, and is of tcp', () => {
    const tor = [net('fw', 'net', { tor: true, appliesRules: false }), net('net', null)];
    const shut = app(['action=drop']);
    const out = (destination: Destination) =>
      reach((name) => [shut, ...tor].find((qube) => qube.name === name), 'app', destination, 0);
    expect(out(web)).toMatchObject({ reached: true, seen: 'tor' });
    expect(out({ ...web, protocol: 'udp' })).toMatchObject({ reached: false, why: 'blocked' });
    const before = [app(OPEN), net('fw', 'tor'), net('tor', 'net', { tor: true }), net('net', null)];
    expect(from(before)).toBe('reached');
    expect(from([app(['action=drop']), ...before.slice(1)], { ...web, host: '1.2.3.4' })).toBe(
      'blocked at app',
    );
  });

  it('a packet is dropped, whatever its destination, while a name in the rules of its qube does not resolve', () => {
    const rules = ['action=accept dsthost=gone.invalid', 'action=accept'];
    expect(from([app(rules), ...chain], { ...web, host: '1.2.3.4' })).toBe('blocked at app');
    expect(from([app(OPEN), ...chain], { ...web, host: 'gone.invalid' })).toBe('unresolved at net');
  });

  it('a packet to an IPv6 address needs an IPv6 address of every qube on its way, and rules about IPv6', () => {
    const six = (rules: readonly string[]) => [app(rules), ...chain].map((qube) => ({ ...qube, ipv6: true }));
    const packet = { ...web, host: '2001:db8::7' };
    expect(from([app(OPEN), ...chain], packet)).toBe('unreachable at net');
    expect(from(six(OPEN), packet)).toBe('reached');
    expect(from(six(['action=accept dst6=2001:db8::/32']), packet)).toBe('reached');
    expect(from(six(['action=accept dst6=2001:db9::/32']), packet)).toBe('blocked at app');
    expect(from(six(['action=accept dst4=0.0.0.0/0']), packet)).toBe('blocked at app');
    expect(from(six(['action=accept dst6=::/0']), { ...web, host: '1.2.3.4' })).toBe('blocked at app');
  });

  it('a packet to a name needs the name servers, and one to an address does not', () => {
    const rules = [
      `action=accept dst4=${addressOf('example.com')}/32 proto=tcp dstports=443-443`,
      'action=drop',
    ];
    expect(from([app(rules), ...chain])).toBe('unresolved at app');
    expect(from([app(['action=accept specialtarget=dns', ...rules]), ...chain])).toBe('reached');
    expect(from([app(rules), ...chain], { ...web, host: addressOf('example.com') })).toBe('reached');
  });
});

describe('a firewall rule', () => {
  const packet = {
    host: 'example.com',
    address: '10.1.2.3',
    port: 443,
    protocol: 'tcp',
    dns: false,
  } as const;
  const decides = (...rules: string[]) => passes(rules.map(parseRule), packet, 1000);

  it('the first rule of which every part matches decides, and without one the packet is dropped', () => {
    expect(decides()).toBe(false);
    expect(decides('action=drop', 'action=accept')).toBe(false);
    expect(decides('action=drop proto=udp', 'action=accept')).toBe(true);
    expect(decides('action=accept dst4=10.0.0.0/8 proto=tcp dstports=400-500')).toBe(true);
    expect(decides('action=accept dst4=10.0.0.0/8 proto=tcp dstports=80-80')).toBe(false);
    expect(decides('action=accept dst4=0.0.0.0/0')).toBe(true);
    expect(decides('action=accept dsthost=example.com')).toBe(true);
    expect(decides('action=accept dsthost=example.org')).toBe(false);
    expect(decides('action=accept dst6=::/0')).toBe(false);
  });

  it('an expired rule never matches', () => {
    expect(decides('action=accept expire=1001')).toBe(true);
    expect(decides('action=accept expire=1000')).toBe(false);
  });

  it('a rule does not depend on its comment', () => {
    expect(decides('action=accept proto=tcp comment=not proto=udp at all')).toBe(true);
  });

  it('a rule with a network matches exactly the addresses of it', () => {
    const address = fc.tuple(...[0, 1, 2, 3].map(() => fc.nat(255)));
    fc.assert(
      fc.property(address, address, fc.integer({ min: 0, max: 32 }), (network, asked, bits) => {
        const binary = (bytes: number[]) => bytes.map((byte) => byte.toString(2).padStart(8, '0')).join('');
        const within = binary(network).slice(0, bits) === binary(asked).slice(0, bits);
        const rule = parseRule(`action=accept dst4=${network.join('.')}/${bits}`);
        expect(passes([rule], { ...packet, address: asked.join('.') }, 0)).toBe(within);
      }),
    );
  });
});
