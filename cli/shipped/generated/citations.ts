// Generated from test/cites.yaml by `npm run generate`.
export const CITED: Readonly<Record<string, readonly { readonly file: string; readonly test: string }[]>> = {
  'scope.existence-hidden': [
    {
      file: 'test/security/existence.test.ts',
      test: 'a qube outside the world cannot be told from one that does not exist',
    },
    {
      file: 'test/security/noninterference.test.ts',
      test: 'any calls through the policy and past it give the same answers on both hosts',
    },
    {
      file: 'test/security/counts.test.ts',
      test: 'qmcpd asks qubesd the same for a hidden name as for a missing one: one look-up of a qube that exists',
    },
    { file: 'test/security/time.test.ts', test: 'time shows no difference between a missing name' },
  ],
  'scope.values-redacted': [
    {
      file: 'test/security/existence.test.ts',
      test: 'a reply about a qube of the operator does not name its outside network or template',
    },
    {
      file: 'test/security/faults.test.ts',
      test: 'when any one call to qubesd fails in any way, the effect is complete or absent, and the reply says which and no more',
    },
    {
      file: 'test/security/devices.test.ts',
      test: 'a device that the operator attached from outside does not show its backend to any agent',
    },
    {
      file: 'test/security/noninterference.test.ts',
      test: 'any calls through the policy and past it give the same answers on both hosts',
    },
  ],
  'scope.self-excluded': [
    {
      file: 'test/security/devices.test.ts',
      test: 'a device whose other end is hidden, missing, under tier, the caller, a gateway or dom0 is not found and does not move',
    },
    {
      file: 'test/security/settings.test.ts',
      test: 'the properties of an under-tier qube, of the caller and of a gateway are out of reach',
    },
  ],
  'consent.names-the-qube': [
    {
      file: 'test/security/consent.test.ts',
      test: 'with another argument than its target is answered like a call on a missing qube, after the same work',
    },
    {
      file: 'test/security/consent.test.ts',
      test: 'a service in a qube refuses a call that names another qube, as if there were no such qube',
    },
  ],
  'consent.opens-nothing': [
    {
      file: 'test/security/consent.test.ts',
      test: 'nobody is asked about a qube that is guarded, removed, hidden, missing, under tier or frozen',
    },
    {
      file: 'test/security/consent.test.ts',
      test: 'a question that sorts before the lines that deny is called BROKEN, with its line',
    },
  ],
  'tags.operator-only': [
    { file: 'test/security/lifecycle.test.ts', test: 'a new qube has no tier that its source did not have' },
    {
      file: 'test/security/births.test.ts',
      test: 'restore puts back no tag that the operator took off a removed qube',
    },
  ],
  'tiers.unreadable': [
    {
      file: 'test/security/events.test.ts',
      test: 'an agent that listens hears nothing of outside qubes, tiers, guards and notes that the operator changes',
    },
  ],
  'tiers.no-escalation': [
    { file: 'test/security/lifecycle.test.ts', test: 'a new qube has no tier that its source did not have' },
    {
      file: 'test/security/births.test.ts',
      test: 'a disposable of a template above the birth ceiling is at the birth ceiling',
    },
    {
      file: 'test/security/births.test.ts',
      test: 'restore gives a removed qube back with its tier and nothing more',
    },
  ],
  'restrictions.inherit': [
    { file: 'test/security/lifecycle.test.ts', test: 'a new qube carries every restriction of its source' },
    {
      file: 'test/security/births.test.ts',
      test: 'a clone carries the restrictions of its source, and no other tag of it',
    },
  ],
  'birth.tagged-before-named': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'a new qube is born tagged, on the birth gateway, without a way out, and at its source’s tier',
    },
    {
      file: 'test/security/crash.test.ts',
      test: 'a birth that qubesd finishes only after qmcpd has restarted belongs to nobody and is removed',
    },
  ],
  'birth.namespace': [
    {
      file: 'test/security/existence.test.ts',
      test: 'a name outside the prefix is refused by its shape, whether it is taken or free',
    },
  ],
  'birth.class': [
    { file: 'test/security/births.test.ts', test: 'a template or a standalone is never cloned' },
  ],
  'birth.egress-inherited': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'a new qube is born tagged, on the birth gateway, without a way out, and at its source’s tier',
    },
    { file: 'test/security/lifecycle.test.ts', test: 'a new qube never inherits its template’s network' },
    {
      file: 'test/security/births.test.ts',
      test: 'a clone is on the same network as its source, or on none',
    },
  ],
  'birth.no-escape-hatch': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'a new qube is born tagged, on the birth gateway, without a way out, and at its source’s tier',
    },
    {
      file: 'test/security/births.test.ts',
      test: 'a disposable is started, carries its own mark, has at most its template’s tier, and has no way out',
    },
  ],
  'egress.never-widens': [
    { file: 'test/security/egress.test.ts', test: 'a qube that was born without a network never gets one' },
    {
      file: 'test/security/egress.test.ts',
      test: 'a qube does not return to a network that is no longer a gateway',
    },
  ],
  'egress.gateways-only': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'a qube does not start on a network that the operator did not enroll',
    },
    {
      file: 'test/security/births.test.ts',
      test: 'a clone of a qube whose network is not a gateway is refused',
    },
  ],
  'egress.gateways-as-declared': [
    {
      file: 'test/security/gateways.test.ts',
      test: 'a gateway that cannot apply its rules is refused with one code:',
    },
    {
      file: 'test/security/gateways.test.ts',
      test: 'a world goes on without a network and on its other gateways when one cannot be used',
    },
  ],
  'egress.no-new-gateway': [
    {
      file: 'test/security/settings.test.ts',
      test: 'properties that no contract can name get one uniform refusal, whatever the name and value',
    },
  ],
  'egress.within-ceiling': [
    {
      file: 'test/security/egress.test.ts',
      test: 'outbound rules within the ceiling are set, end in a drop, and are stored in qubesd as given',
    },
    {
      file: 'test/security/egress.test.ts',
      test: 'outbound rules beyond the ceiling are all refused, and the refusal names the rule:',
    },
  ],
  'budget.hard': [
    { file: 'test/security/budget.test.ts', test: 'a budget holds when 32 qubes are made at once' },
    {
      file: 'test/security/budget.test.ts',
      test: 'the budget of disk counts clones, growth and removed qubes, and one volume has its own limit',
    },
    {
      file: 'test/security/load.test.ts',
      test: 'under load, the audit log loses no line, its chain is intact, no budget is exceeded, and memory does not grow',
    },
  ],
  'budget.numbers-private': [
    { file: 'test/security/budget.test.ts', test: 'a refusal for the budget contains no number' },
    { file: 'test/security/budget.test.ts', test: 'the budget tool predicts exactly what is refused' },
  ],
  'props.allowlist': [
    {
      file: 'test/security/settings.test.ts',
      test: 'properties on the operator’s list are set, all of a call or none',
    },
    {
      file: 'test/security/settings.test.ts',
      test: 'features off the list get one uniform refusal, whether they exist, and whatever the value',
    },
  ],
  'devices.both-ends': [
    {
      file: 'test/security/devices.test.ts',
      test: 'a device whose other end is hidden, missing, under tier, the caller, a gateway or dom0 is not found and does not move',
    },
    {
      file: 'test/security/devices.test.ts',
      test: 'a device class other than block, usb and mic is refused by its shape',
    },
  ],
  'remove.is-a-tombstone': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'a removed qube is a tombstone: halted, marked, and still on the disk',
    },
    {
      file: 'test/security/births.test.ts',
      test: 'restore gives a removed qube back with its tier and nothing more',
    },
    {
      file: 'test/operator/admin.test.ts',
      test: 'the operator reaps the qubes whose retention has ended, and only those',
    },
  ],
  'plans.approved': [
    {
      file: 'test/security/plans.test.ts',
      test: 'an approved plan does what was read on the qubes that were there, once',
    },
    { file: 'test/security/plans.test.ts', test: 'a plan that nobody approved does nothing' },
  ],
  'audit.complete': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'the audit log has an intent and an outcome for every change, and no value of it',
    },
    {
      file: 'test/security/existence.test.ts',
      test: 'every refusal is one line in the audit log, and none is an intent',
    },
    {
      file: 'test/security/load.test.ts',
      test: 'under load, the audit log loses no line, its chain is intact, no budget is exceeded, and memory does not grow',
    },
  ],
  'crash.no-residue': [
    {
      file: 'test/security/sweep.test.ts',
      test: 'the effect is complete or absent, and never more authority in between:',
    },
    {
      file: 'test/security/crash.test.ts',
      test: 'qmcpd that is stopped in the middle of a call undoes the call and says so in the audit log',
    },
  ],
  'frozen.means-frozen': [
    {
      file: 'test/security/lifecycle.test.ts',
      test: 'in a frozen world, no call has an effect until it is thawed',
    },
    {
      file: 'test/security/frozen.test.ts',
      test: 'a call that waited for another one has no effect after the freeze',
    },
  ],
  'policy.closed': [
    { file: 'test/security/policy.test.ts', test: 'a qube inside the world' },
    { file: 'test/security/policy.test.ts', test: 'a principal reaches only the services of its own lines' },
  ],
  'policy.consistent': [
    {
      file: 'test/security/reload.test.ts',
      test: 'a contract that is taken away takes its service away, and one that returns brings it back',
    },
    {
      file: 'test/operator/check.test.ts',
      test: 'qmcp-admin check reports nothing on a host without faults',
    },
  ],
};
