/** The invariants dom0 upholds for every contract, for a service to declare and a tool to uphold. */
import { frozen } from './internal/frozen.js';
import type { Invariant, InvariantId } from './invariant.js';

const named = (id: InvariantId): Invariant => frozen({ id, with: {} });

// ---- who may be seen

export const existenceHidden = named('scope.existence-hidden');
export const valuesRedacted = named('scope.values-redacted');
export const selfExcluded = named('scope.self-excluded');

// ---- what the operator is asked

export const namesTheQube = named('consent.names-the-qube');
export const opensNothing = named('consent.opens-nothing');

// ---- tags and tiers

export const tagsOperatorOnly = named('tags.operator-only');
export const tiersUnreadable = named('tiers.unreadable');
export const noEscalation = named('tiers.no-escalation');
export const restrictionsInherit = named('restrictions.inherit');

// ---- birth

export const bornTagged = named('birth.tagged-before-named');
export const namespace = named('birth.namespace');

/** The classes of qubes that a call can create: an AppVM, a template for disposables, a disposable. */
export type BirthClass = 'AppVM' | 'DispVMTemplate' | 'DispVM';

/** The only axiom with parameters: a contract names the classes it creates, and dom0 allows no others. */
export const birthClass = (...classes: BirthClass[]): Invariant =>
  frozen({ id: 'birth.class' satisfies InvariantId, with: { classes } });

export const egressInherited = named('birth.egress-inherited');
export const noEscapeHatch = named('birth.no-escape-hatch');

// ---- network

export const neverWidens = named('egress.never-widens');
export const gatewaysOnly = named('egress.gateways-only');
export const gatewaysAsDeclared = named('egress.gateways-as-declared');
export const noNewGateway = named('egress.no-new-gateway');
export const withinCeiling = named('egress.within-ceiling');

// ---- budget

export const budgetHard = named('budget.hard');
export const numbersPrivate = named('budget.numbers-private');

// ---- settings and devices

export const propsAllowlist = named('props.allowlist');
export const bothEnds = named('devices.both-ends');

// ---- end

export const removeIsATombstone = named('remove.is-a-tombstone');

// ---- plans

export const planApproved = named('plans.approved');

// ---- whatever happens

export const auditComplete = named('audit.complete');
export const noResidue = named('crash.no-residue');
export const frozenMeansFrozen = named('frozen.means-frozen');

// ---- the policy

export const policyClosed = named('policy.closed');
export const policyConsistent = named('policy.consistent');

/** The invariants of every new qube. A service that creates qubes adds `birthClass`, and `namespace` if its caller chooses the name. */
export const ofEveryBirth: readonly Invariant[] = Object.freeze([
  bornTagged,
  egressInherited,
  noEscapeHatch,
  noEscalation,
  restrictionsInherit,
  withinCeiling,
  gatewaysAsDeclared,
  budgetHard,
  selfExcluded,
]);
