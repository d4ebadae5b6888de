import { describe, expect, it } from 'vitest';
import { frame } from '../support/fake-host.js';
import { sharedHarness } from '../support/harness.js';
import { installedContracts } from './noninterference/calls.js';

const NOT_FOUND = '{"error":{"code":"not-found"},"ok":false}\n';
const host = sharedHarness();

const TARGET_SERVICES = installedContracts()
  .filter(({ route, target }) => route === 'dom0' && target !== null)
  .map(({ service }) => service);
/** Requests that are well formed for some of these services; the others refuse them for their shape. */
const PAYLOADS = [{}, { size: 2 ** 33 }, { rules: [] }, { feature: 'x-note', value: 'a' }];

/** Arguments that are not the name of the qube ai-debian. */
const OTHERS = [
  '',
  'ai-dvm',
  'AI-DEBIAN',
  'ai-debian+',
  '+ai-debian',
  'ai-debian+ai-debian',
  'ai-debian+ai-dvm',
  'ai-debian.',
  'ai_debian',
  'ai-debia',
  'vault',
  'no-such-qube',
  '@adminvm',
  '@dispvm',
  'dom0',
];

/** The answer of qmcpd, and every request that it made of qubesd for it. */
async function asked(service: string, target: string, payload: object): Promise<readonly string[]> {
  const { sim } = host();
  const original = sim.host.call.bind(sim.host);
  const requests: string[] = [];
  sim.host.call = (request) => {
    requests.push(host().named(Buffer.from(request).toString('latin1')));
    return original(request);
  };
  try {
    return [await host().direct(service, target, payload), ...requests.sort()];
  } finally {
    sim.host.call = original;
  }
}

// INVARIANT consent.names-the-qube
describe('a call on a qube names that qube in its argument', () => {
  it.each(TARGET_SERVICES)(
    '%s with another argument than its target is answered like a call on a missing qube, after the same work',
    async (service) => {
      const before = host().truth();
      for (const payload of PAYLOADS) {
        const missing = await asked(service, 'no-such-qube', payload);
        for (const argument of OTHERS)
          expect(await asked(`${service}+${argument}`, 'ai-debian', payload), argument).toEqual(missing);
        // An argument that names a qube in reach opens no qube that is hidden.
        for (const hidden of ['vault', 'sys-ai-net', 'mcp-control', 'no-such-qube'])
          expect(await asked(`${service}+ai-debian`, hidden, payload), hidden).toEqual(missing);
      }
      expect(host().truth()).toBe(before);
    },
  );

  it('the same calls are answered alike through the policy, which tells the operator and the log the argument', async () => {
    const before = host().truth();
    for (const argument of ['ai-dvm', 'ai-debian+ai-dvm', 'AI-DEBIAN'])
      expect(await host().call('ai-debian', `qmcp.spawn.Remove+${argument}`)).toEqual({
        exit: 0,
        stdout: NOT_FOUND,
      });
    expect(host().truth()).toBe(before);
    expect(host().audit().slice(-3)).toEqual(
      ['ai-dvm', 'ai-debian+ai-dvm', 'AI-DEBIAN'].map((argument) =>
        expect.objectContaining({ kind: 'refusal', target: 'ai-debian', argument, code: 'not-found' }),
      ),
    );
  });

  it('a service that is called on dom0 takes no argument', async () => {
    for (const service of ['qmcp.Catalog', 'qmcp.inspect.List', 'qmcp.spawn.Create'])
      for (const argument of ['ai-debian', '+', 'dom0', '@adminvm'])
        expect(await host().direct(`${service}+${argument}`, '@adminvm')).toBe(NOT_FOUND);
  });

  it('a service in a qube refuses a call that names another qube, as if there were no such qube', async () => {
    await host().done('qube_spawn', { name: 'ai-one', template: 'ai-debian', start: true });
    const run = `${JSON.stringify({ command: 'touch /home/user/ran' })}\nI\0\0\0\0`;
    const refused = frame('R', '{"code":"not-found"}').toString();
    for (const argument of ['', 'ai-two', 'AI-ONE', 'ai-one+', 'ai-one+ai-two'])
      expect(await host().call('ai-one', `qmcp.exec.Run+${argument}`, run), argument).toEqual({
        exit: 0,
        stdout: refused,
      });
    const listed = await host().done('file_list', { qube: 'ai-one', path: '/home/user' });
    expect(JSON.stringify(listed.result)).not.toContain('ran');
  });
});
