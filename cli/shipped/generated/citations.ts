// Generated from test/cites.yaml by `npm run generate`.
export const CITED: Readonly<Record<string, readonly { readonly file: string; readonly test: string }[]>> = {
  'scope.existence-hidden': [
    {
      file: 'test/security/existence.test.ts',
      test: 'a qube outside the world cannot be told from one that does not exist',
    },
    { file: 'test/security/noninterference.test.ts', test: 'by any calls, through the policy and past it' },
    {
      file: 'test/security/counts.test.ts',
      test: 'is the same for a name that is hidden and one that is missing',
    },
    {
      file: 'test/security/time.test.ts',
      test: 'by the time it takes, a name that is missing cannot be told',
    },
  ],
  'scope.values-redacted': [
    {
      file: 'test/security/existence.test.ts',
      test: 'a qube of the operator’s on an outside network and template shows neither by name',
    },
    { file: 'test/security/faults.test.ts', test: 'any one call to qubesd may fail, in any way' },
    {
      file: 'test/security/devices.test.ts',
      test: 'attached by the operator from outside shows its backend to nobody',
    },
    { file: 'test/security/noninterference.test.ts', test: 'by any calls, through the policy and past it' },
  ],
  'scope.self-excluded': [
    {
      file: 'test/security/devices.test.ts',
      test: 'whose other end is hidden, missing, the caller, a gateway, dom0 or under tier is not found',
    },
    {
      file: 'test/security/settings.test.ts',
      test: 'of a qube below full tier, of the caller and of a gateway is out of reach',
    },
  ],
  'tags.operator-only': [
    { file: 'test/security/lifecycle.test.ts', test: 'has no tier its source did not have' },
    {
      file: 'test/security/births.test.ts',
      test: 'puts back no tag: what the operator took of a removed qube stays taken',
    },
  ],
  'tiers.unreadable': [
    {
      file: 'test/security/events.test.ts',
      test: 'hears nothing of what the operator does outside, of tiers, guards and notes',
    },
  ],
  'tiers.no-escalation': [
    { file: 'test/security/lifecycle.test.ts', test: 'has no tier its source did not have' },
    { file: 'test/security/births.test.ts', test: 'of a template above the birth ceiling is below it' },
    {
      file: 'test/security/births.test.ts',
      test: 'gives back what was removed, with the tier it had and nothing more',
    },
  ],
  'restrictions.inherit': [
    { file: 'test/security/lifecycle.test.ts', test: 'carries every restriction of its source' },
    {
      file: 'test/security/births.test.ts',
      test: 'carries the restrictions of its source, and none of its other tags',
    },
  ],
  'birth.tagged-before-named': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'is born tagged, on the birth gateway, without a way out',
    },
    {
      file: 'test/security/crash.test.ts',
      test: 'a birth that qubesd finishes only after qmcpd is back is nobody’s, and goes',
    },
  ],
  'birth.namespace': [
    { file: 'test/security/existence.test.ts', test: 'a name outside the prefix is refused on its shape' },
  ],
  'birth.class': [
    { file: 'test/security/births.test.ts', test: 'of a template or of a standalone is never made' },
  ],
  'birth.egress-inherited': [
    { file: 'test/security/lifecycle.test.ts', test: 'is born tagged, on the birth gateway' },
    { file: 'test/security/lifecycle.test.ts', test: 'never inherits its template’s own network' },
    { file: 'test/security/births.test.ts', test: 'sits where its source sits, on none included' },
  ],
  'birth.no-escape-hatch': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'is born tagged, on the birth gateway, without a way out',
    },
    {
      file: 'test/security/births.test.ts',
      test: 'is made and started, with its own mark, no more tier than its template, and no way out',
    },
  ],
  'egress.never-widens': [
    { file: 'test/security/egress.test.ts', test: 'is none for ever for a qube that was born on none' },
    { file: 'test/security/egress.test.ts', test: 'that is no gateway any more is not come back to' },
  ],
  'egress.gateways-only': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'does not start on a network the operator did not enrol',
    },
    {
      file: 'test/security/births.test.ts',
      test: 'of a qube on a network that is no gateway does not come to be',
    },
  ],
  'egress.no-new-gateway': [
    {
      file: 'test/security/settings.test.ts',
      test: 'no contract can name is one uniform refusal, whatever its name and value',
    },
  ],
  'egress.within-ceiling': [
    {
      file: 'test/security/egress.test.ts',
      test: 'within the ceiling are set, end in a drop, and are what qubesd has',
    },
    { file: 'test/security/egress.test.ts', test: 'beyond the ceiling are refused whole, naming the rule' },
  ],
  'budget.hard': [
    { file: 'test/security/budget.test.ts', test: 'holds when 32 are made at once' },
    { file: 'test/security/budget.test.ts', test: 'of disk counts clones, growth and what is removed' },
    {
      file: 'test/security/load.test.ts',
      test: 'no line of the audit log is lost, the chain holds, no budget is exceeded',
    },
  ],
  'budget.numbers-private': [
    { file: 'test/security/budget.test.ts', test: 'refuses without a number in it' },
    { file: 'test/security/budget.test.ts', test: 'says beforehand exactly what the gate will do' },
  ],
  'props.allowlist': [
    {
      file: 'test/security/settings.test.ts',
      test: 'on the operator’s list is set, all of a call or nothing of it',
    },
    { file: 'test/security/settings.test.ts', test: 'off the list is one uniform refusal' },
  ],
  'devices.both-ends': [
    {
      file: 'test/security/devices.test.ts',
      test: 'whose other end is hidden, missing, the caller, a gateway, dom0 or under tier is not found',
    },
    {
      file: 'test/security/devices.test.ts',
      test: 'of a class other than block, usb and mic is refused on its shape',
    },
  ],
  'remove.is-a-tombstone': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'is a tombstone: halted, marked, and still on the disk',
    },
    {
      file: 'test/security/births.test.ts',
      test: 'gives back what was removed, with the tier it had and nothing more',
    },
    {
      file: 'test/operator/admin.test.ts',
      test: 'reaps what was removed longer ago than its world keeps it',
    },
  ],
  'audit.complete': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'has an intent and an outcome for every change, and no value of it',
    },
    { file: 'test/security/existence.test.ts', test: 'every refusal is one line in the audit log' },
    { file: 'test/security/load.test.ts', test: 'no line of the audit log is lost' },
  ],
  'crash.no-residue': [
    {
      file: 'test/security/sweep.test.ts',
      test: 'leaves the whole effect or none, and never more authority in between',
    },
    { file: 'test/security/crash.test.ts', test: 'told to stop in the middle of a call, it undoes the call' },
  ],
  'frozen.means-frozen': [
    { file: 'test/security/lifecycle.test.ts', test: 'has no call with an effect, until it is thawed' },
    { file: 'test/security/frozen.test.ts', test: 'a call that waited for another one has no effect' },
  ],
  'policy.closed': [
    { file: 'test/security/policy.test.ts', test: 'whoever is inside a qube of the world' },
    { file: 'test/security/policy.test.ts', test: 'a principal: reaches nothing but what its lines name' },
  ],
  'policy.consistent': [
    {
      file: 'test/security/reload.test.ts',
      test: 'that is taken away takes its service away, and gives it back',
    },
    { file: 'test/operator/check.test.ts', test: 'finds nothing on a host that is as it should be' },
  ],
};
