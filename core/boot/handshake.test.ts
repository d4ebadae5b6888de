import { describe, expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { catalogOf } from '../../test/support/fake-host.js';
import { pluginOf, serviceIn } from '../../test/support/plugins.js';
import type { Plugin } from '../api/index.js';
import type { Catalog } from './catalog.js';
import { contractOf, digestOf } from './contract.js';
import { handshakeProblems } from './handshake.js';
import { report } from './problems.js';

const plugin = pluginOf('a');
const NAME = 'qmcp.a.Say';
const digest = digestOf(contractOf(plugin, serviceIn(plugin)));

/** What is refused when dom0's catalog is changed like this. */
function changed(change: (catalog: Catalog) => void, plugins: readonly Plugin[] = [plugin]) {
  const catalog = structuredClone(catalogOf(plugins)) as Catalog;
  change(catalog);
  return handshakeProblems(plugins, { catalog });
}

// ATTACK 25
describe('the refusal handshake', () => {
  test("a plugin is accepted when dom0's catalog matches everything it declares", () => {
    expect(changed(() => {})).toEqual([]);
    expect(handshakeProblems(BUILT_IN, { catalog: catalogOf(BUILT_IN) })).toEqual([]);
  });

  test('a service without a contract in dom0 is refused', () => {
    const problems = changed(({ services }) => delete services[NAME]);
    expect(problems.map(({ code }) => code)).toEqual(['service-missing']);
    expect(report(problems)).toContain(`qmcp-admin contract install ${NAME}`);
    expect(report(problems)).toContain(digest.slice(0, 19));
  });

  test('a service that is installed but not granted to this qube is refused', () => {
    const problems = changed(({ services }) => Object.assign(services[NAME]!, { granted: false }));
    expect(problems.map(({ code }) => code)).toEqual(['service-not-granted']);
    expect(report(problems)).toMatch(/add "a" to "plugins".*\[world\.ai\]/);
  });

  test('an invariant that this dom0 does not know is refused', () => {
    const problems = changed(({ invariants }) => delete invariants['test.kept']);
    expect(problems.map(({ code }) => code)).toEqual(['invariant-unknown']);
    expect(report(problems)).toContain('test.kept');
  });

  test('an invariant that dom0 knows but does not enforce for this service is refused', () => {
    const problems = changed(({ services }) => {
      services[NAME]!.invariants = [{ id: 'other', with: {} }];
    });
    expect(problems.map(({ code }) => code)).toEqual(['invariant-missing']);
    expect(report(problems)).toMatch(/test\.kept.*has other/);
  });

  test('an invariant with other parameters in dom0 is refused, and the message shows both', () => {
    const problems = changed(({ services }) => {
      services[NAME]!.invariants[0]!.with = { of: ['a', 'b'], limit: 4 };
    });
    expect(problems.map(({ code }) => code)).toEqual(['invariant-parameters']);
    expect(report(problems)).toContain('{"limit":3,"of":["a","b"]}');
    expect(report(problems)).toContain('{"limit":4,"of":["a","b"]}');
  });

  test('the order of keys in parameters does not matter', () => {
    const problems = changed(({ services }) => {
      services[NAME]!.invariants[0]!.with = { of: ['a', 'b'], limit: 3 };
    });
    expect(problems).toEqual([]);
  });

  test('an invariant that dom0 enforces in another place than this release expects is refused', () => {
    const storage = BUILT_IN.filter(({ id }) => id === 'storage');
    const problems = changed(({ invariants }) => {
      invariants['budget.hard'] = { enforcedBy: 'policy' };
    }, storage);
    expect(problems.map(({ code }) => code)).toEqual(['invariant-place']);
    expect(report(problems)).toMatch(/enforced by dom0; dom0 says it is enforced by policy/);
  });

  test('a contract with another digest is refused even if its invariants match', () => {
    const other = `sha256:${'0'.repeat(64)}`;
    const alone = changed(({ services }) => Object.assign(services[NAME]!, { digest: other }));
    expect(alone.map(({ code }) => code)).toEqual(['digest-mismatch']);
    expect(report(alone)).toContain('sha256:000000000000…');
    const explained = changed(({ services, invariants }) => {
      Object.assign(services[NAME]!, { digest: other });
      delete invariants['test.kept'];
    });
    expect(explained.map(({ code }) => code)).toEqual(['invariant-unknown']);
  });

  test('names that every JavaScript object has are not taken for entries of the catalog', () => {
    const clever = pluginOf('a', { services: [{ ...serviceIn(plugin), name: 'constructor' as never }] });
    expect(handshakeProblems([clever], { catalog: catalogOf([]) }).map(({ code }) => code)).toEqual([
      'service-missing',
    ]);
  });

  test('the handshake reports every problem of every plugin at once', () => {
    const plugins = [pluginOf('a'), pluginOf('b'), pluginOf('c')];
    const problems = changed((catalog) => {
      delete catalog.services['qmcp.a.Say'];
      Object.assign(catalog.services['qmcp.b.Say']!, { granted: false, digest: 'sha256:0' });
    }, plugins);
    expect(problems.map(({ plugin, code }) => `${plugin} ${code}`)).toEqual([
      'a service-missing',
      'b service-not-granted',
      'b digest-mismatch',
    ]);
  });

  test('without a catalog every plugin is refused, and the report says so once', () => {
    const problems = handshakeProblems([pluginOf('a'), pluginOf('b')], { why: 'gave no answer within 5 s' });
    expect(problems.map(({ code }) => code)).toEqual(['catalog-unavailable', 'catalog-unavailable']);
    expect(report(problems).split('\n')).toHaveLength(1);
    expect(report(problems)).toContain('plugins "a", "b"');
  });
});
