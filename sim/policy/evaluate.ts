import type { Policy } from './load.js';
import type { Rule } from './rule.js';
import {
  DISPOSABLE_OF,
  defaultDisposable,
  isAdminVm,
  mustBe,
  nameOf,
  type PolicySystem,
  qubeOf,
  Unanswerable,
} from './system.js';
import type { Requested } from './tokens.js';

export interface PolicyRequest {
  readonly service: string;
  /** Without its `+`; empty for none. */
  readonly argument: string;
  readonly source: string;
  readonly target: Requested;
}

export type Verdict =
  | { readonly verdict: 'deny'; readonly rule: Rule | null; readonly why: string }
  | {
      readonly verdict: 'allow';
      readonly rule: Rule;
      /** A qube by name or `uuid:…`, `dom0`, or `@dispvm:<template>`. */
      readonly target: string;
      /** The `SERVICE+ARGUMENT` to call there instead: this is how a call to a remote qube goes to its relay. */
      readonly instead: string | null;
      readonly user: string | null;
      readonly autostart: boolean;
    }
  | {
      readonly verdict: 'ask';
      readonly rule: Rule;
      /** The targets that the operator may choose, sorted. */
      readonly targets: readonly string[];
      readonly defaultTarget: string | null;
      readonly user: string | null;
      readonly autostart: boolean;
    };

/** The first match decides; a call without one is denied. */
export function evaluate(policy: Policy, system: PolicySystem, request: PolicyRequest): Verdict {
  const target = verified(system, request.target === '' ? '@default' : request.target);
  if (target === undefined) return denied(null, 'not a target there can be');
  const asked: Asked = { ...request, target };
  try {
    const rule = policy.rules.find(
      (candidate) =>
        covers(candidate, system, asked) && candidate.target.matches(target, { system, ...asked }),
    );
    if (rule === undefined) return denied(null, 'no rule matches');
    if (rule.action === 'deny') return denied(rule, 'denied');
    return rule.action === 'allow' ? allow(rule, system, asked) : ask(policy, rule, system, asked);
  } catch (error) {
    if (error instanceof Unanswerable) return denied(null, error.message);
    throw error;
  }
}

/** The outcome of an `ask` that the operator accepted, with the same checks as for an `allow`. */
export function checkAnswer(
  { rule, targets }: Extract<Verdict, { verdict: 'ask' }>,
  system: PolicySystem,
  asked: PolicyRequest,
  target: string,
): Verdict {
  if (!targets.includes(target)) return denied(rule, 'not among the targets that were offered');
  return resolve(rule, system, asked, target);
}

type Asked = PolicyRequest;

const denied = (rule: Rule | null, why: string): Verdict => ({ verdict: 'deny', rule, why });

/** Checks every column of a rule except the target. */
function covers(rule: Rule, system: PolicySystem, { service, argument, source }: Asked): boolean {
  return (
    (rule.service === null || rule.service === service) &&
    (rule.argument === null || rule.argument === `+${argument}`) &&
    rule.source.matches(source, { system, source })
  );
}

/** A missing name becomes `@default`; a disposable of a qube that is not a disposable template is undefined. */
function verified(system: PolicySystem, target: Requested): Requested | undefined {
  if (target === '@default' || target === '@dispvm' || target === '@adminvm') return target;
  if (target.startsWith(DISPOSABLE_OF))
    return qubeOf(system, target.slice(DISPOSABLE_OF.length))?.template_for_dispvms ? target : undefined;
  if (target.startsWith('@') || target === '*') return undefined;
  return isAdminVm(target) || qubeOf(system, target) !== undefined ? target : '@default';
}

function allow(rule: Rule, system: PolicySystem, asked: Asked): Verdict {
  let resolved = verified(system, rule.redirect?.text ?? asked.target);
  if (resolved === '@default') return denied(rule, 'neither the caller nor the rule names a target');
  if (resolved === '@dispvm') resolved = defaultDisposable(system, asked.source);
  if (resolved === undefined) return denied(rule, 'no template for the disposable');
  if (resolved === '@adminvm') resolved = 'dom0';
  if (!rule.autostart && !isReady(system, resolved)) return denied(rule, 'it would have to be started');
  return resolve(rule, system, asked, resolved);
}

/** The final checks of a target that a rule or the operator has chosen. */
function resolve(rule: Rule, system: PolicySystem, asked: Asked, target: string): Verdict {
  if (target === asked.source) return denied(rule, 'loopback');
  const { user, autostart } = rule;
  const to = (target: string): Verdict & { verdict: 'allow' } => ({
    verdict: 'allow',
    rule,
    target,
    instead: null,
    user,
    autostart,
  });
  if (isAdminVm(target)) return to('dom0');
  if (target.startsWith(DISPOSABLE_OF)) {
    mustBe(system, target.slice(DISPOSABLE_OF.length));
    return to(target);
  }
  const { type, relayvm, transport_rpc } = mustBe(system, target);
  if (type !== 'RemoteVM') return to(target);
  if (!relayvm || !transport_rpc) return denied(rule, 'a remote qube without a relay');
  mustBe(system, relayvm);
  // The other machine has its own users, so the rule's user is omitted.
  const instead = `${transport_rpc}+${asked.target}+${asked.service}+${asked.argument}`;
  return { ...to(relayvm), instead, user: null };
}

function ask(policy: Policy, rule: Rule, system: PolicySystem, asked: Asked): Verdict {
  const redirect = rule.redirect?.text;
  const offered =
    redirect === undefined ? choices(policy, system, asked) : [isAdminVm(redirect) ? 'dom0' : redirect];
  const targets = (rule.autostart ? offered : offered.filter((one) => isReady(system, one))).sort();
  if (targets.length === 0) return denied(rule, 'there is nothing to choose from');
  return {
    verdict: 'ask',
    rule,
    targets,
    defaultTarget: preselected(rule, system, asked.source, targets),
    user: rule.user,
    autostart: rule.autostart,
  };
}

function preselected(
  rule: Rule,
  system: PolicySystem,
  source: string,
  targets: readonly string[],
): string | null {
  let preferred: string | undefined = rule.defaultTarget?.text;
  if (preferred === '@dispvm') preferred = defaultDisposable(system, source);
  else if (preferred !== undefined && isAdminVm(preferred)) preferred = 'dom0';
  return preferred !== undefined && targets.includes(preferred) ? preferred : null;
}

/** Every target that the rules allow this source: from the last rule to the first, so that an earlier deny removes targets. */
function choices(policy: Policy, system: PolicySystem, asked: Asked): string[] {
  mustBe(system, asked.source);
  const targets = new Set<string>();
  for (const rule of [...policy.rules].reverse()) {
    if (!covers(rule, system, asked)) continue;
    for (const one of (rule.redirect ?? rule.target).offers(system)) {
      if (rule.action === 'deny') targets.delete(one);
      else targets.add(one);
    }
  }
  if (targets.delete('@dispvm')) {
    const disposable = defaultDisposable(system, asked.source);
    if (disposable !== undefined) targets.add(disposable);
  }
  if (targets.delete('@adminvm')) targets.add('dom0');
  targets.delete(nameOf(system, asked.source) ?? asked.source);
  return [...targets].filter((one) => {
    const name = one.startsWith(DISPOSABLE_OF) ? one.slice(DISPOSABLE_OF.length) : one;
    return mustBe(system, name).internal !== true;
  });
}

/** True if a call to it starts nothing. */
function isReady(system: PolicySystem, target: string): boolean {
  if (isAdminVm(target)) return true;
  return !target.startsWith('@dispvm') && qubeOf(system, target)?.power_state === 'Running';
}
