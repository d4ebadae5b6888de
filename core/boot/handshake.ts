import { INVARIANTS, type Invariant, isInvariantId, type Plugin, type Service } from '../api/index.js';
import { own } from '../ports/values.js';
import { errorSummary } from '../serve/failure.js';
import type { Catalog, CatalogAnswer } from './catalog.js';
import { canonical, contractOf, digestOf } from './contract.js';
import { type Problem, problem } from './problems.js';

/**
 * Compares what plugins declare with what dom0 says it enforces, and returns every difference of every plugin. A plugin
 * with a difference is refused. Only dom0's answer counts, not the plugin's and not a file in this qube.
 */
export function handshakeProblems(plugins: readonly Plugin[], answer: CatalogAnswer): Problem[] {
  if (!('catalog' in answer))
    return plugins.map(({ id }) => problem('catalog-unavailable', id, { why: answer.why }));
  return plugins.flatMap((plugin) => {
    try {
      return plugin.services.flatMap((service) => differences(plugin, service, answer.catalog));
    } catch (error) {
      return [problem('plugin-unreadable', plugin.id, { why: errorSummary(error) })];
    }
  });
}

function differences(plugin: Plugin, service: Service, catalog: Catalog): Problem[] {
  const digest = digestOf(contractOf(plugin, service));
  const installed = own(catalog.services, service.name);
  if (installed === undefined) {
    const why = own(catalog.unusable, service.name);
    return why === undefined
      ? [problem('service-missing', plugin.id, { service: service.name, digest })]
      : [problem('service-unusable', plugin.id, { service: service.name, why })];
  }

  const problems: Problem[] = [];
  if (!installed.granted)
    problems.push(
      problem('service-not-granted', plugin.id, {
        service: service.name,
        world: catalog.world,
        plugin: plugin.id,
      }),
    );
  const invariantDifferences = service.invariants.flatMap((invariant) =>
    invariantProblems(plugin, service, invariant, installed.invariants, catalog),
  );
  if (invariantDifferences.length > 0) problems.push(...invariantDifferences);
  else if (installed.digest !== digest)
    problems.push(
      problem('digest-mismatch', plugin.id, {
        service: service.name,
        plugin: digest,
        dom0: installed.digest,
      }),
    );
  return problems;
}

/** The differences between a declared invariant and dom0's entry for it; empty if they match. */
function invariantProblems(
  plugin: Plugin,
  service: Service,
  { id, with: parameters }: Invariant,
  installed: Catalog['services'][string]['invariants'],
  catalog: Catalog,
): Problem[] {
  const where = { service: service.name, invariant: id };
  const enforced = own(catalog.invariants, id);
  if (enforced === undefined) return [problem('invariant-unknown', plugin.id, where)];
  const entry = installed.find((candidate) => candidate.id === id);
  if (entry === undefined)
    return [
      problem('invariant-missing', plugin.id, { ...where, installed: installed.map((other) => other.id) }),
    ];
  const problems: Problem[] = [];
  if (canonical(entry.with) !== canonical(parameters))
    problems.push(
      problem('invariant-parameters', plugin.id, {
        ...where,
        plugin: canonical(parameters),
        dom0: canonical(entry.with),
      }),
    );
  const here = isInvariantId(id) ? INVARIANTS[id].enforcedBy : enforced.enforcedBy;
  if (enforced.enforcedBy !== here)
    problems.push(problem('invariant-place', plugin.id, { ...where, here, dom0: enforced.enforcedBy }));
  return problems;
}
