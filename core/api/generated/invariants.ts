// Generated from dom0/spec/invariants.toml by `npm run generate`.
export const INVARIANTS = Object.freeze({
  'scope.existence-hidden': {
    statement:
      'A name that does not exist and a name outside the world get byte-identical replies, from every service, after the same kind and number of qubesd calls.',
    enforced_by: 'dom0',
    lines_in: ['policy/generate.py', 'qmcpd/invariants.py', 'qmcpd/kernel.py'],
  },
  'scope.values-redacted': {
    statement:
      'No reply, event or error names a qube outside the world (enrolled gateways excepted), an address, a pool, a volume path or exception text.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'scope.self-excluded': {
    statement:
      'A principal is never the object of its own call, nor is any other principal, gateway or dom0.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py', 'qmcpd/steps.py'],
  },
  'tags.operator-only': {
    statement: "No call adds or removes a tag, except the marks of a birth and the tombstone's.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/births.py'],
  },
  'tiers.unreadable': {
    statement: 'Tier, guard and restriction tags never reach an agent, by value, event name or error.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/steps.py'],
  },
  'tiers.no-escalation': {
    statement:
      "No sequence of calls gives the world a capability on any qube that the operator did not give it; children are born at most at their source's tier, clamped by the world's birth ceiling.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'restrictions.inherit': {
    statement:
      'Restriction tags of a source (guard, egress lock, anonymity) are carried by every child; no call changes the rules or the network of a qube with an egress lock.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py', 'qmcpd/steps.py'],
  },
  'birth.tagged-before-named': {
    statement:
      'A created qube carries the umbrella and its owner stamp before the caller learns its name; if any later step fails it is removed, and a failed removal is reported as such.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'birth.namespace': {
    statement:
      "Created names match the world's prefix; refusal depends on the shape of the name alone, before any look-up.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'birth.class': {
    statement:
      'Only AppVM, disposable templates (AppVM with the flag) and DispVM are created; TemplateVM and StandaloneVM never.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/births.py', 'qmcpd/invariants.py'],
    with: {
      type: 'object',
      required: ['classes'],
      additionalProperties: false,
      properties: {
        classes: {
          type: 'array',
          minItems: 1,
          items: {
            enum: ['AppVM', 'DispVMTemplate', 'DispVM'],
          },
        },
      },
    },
  },
  'birth.egress-inherited': {
    statement:
      "A child sits on its workload source's network (none included), else on its world's birth gateway; a template's own network is never inherited.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'birth.no-escape-hatch': {
    statement:
      'Children have no `default_dispvm`, no `guivm`, `audiovm` or `management_dispvm`, no autostart, no preloaded disposables.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'egress.never-widens': {
    statement:
      'No call gives a qube a network it did not have at birth; disconnecting is allowed unless its egress is locked, reconnecting only to its birth gateway.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/steps.py'],
  },
  'egress.gateways-only': {
    statement:
      'No qube of the world is put on a network qube, or started on one, that is not an enrolled gateway.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'egress.no-new-gateway': {
    statement: "`provides_network` is never written, a gateway's network never changed.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'egress.within-ceiling': {
    statement:
      "Firewall rules written by a call are a subset of the operator's ceiling, end in drop, and are at most 128.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/invariants.py'],
  },
  'budget.hard': {
    statement:
      "Disk (persistent bytes, tombstones included), count of qubes, memory, vcpus, calls per minute, creates per hour and concurrent calls never exceed the world's budget, under any concurrency.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/budget.py', 'qmcpd/steps.py'],
  },
  'budget.numbers-private': {
    statement:
      'A refusal echoes no number; the agent reads used, limit and left from the budget service, which predicts the gate exactly and shows nothing of the pool.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/budget.py'],
  },
  'props.allowlist': {
    statement:
      'Only listed properties and features can be written, each with its own type and range; every other name gets one uniform refusal.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/steps.py'],
  },
  'devices.both-ends': {
    statement:
      'Attach and detach need both ends in scope at full tier; classes block, usb and mic only; options are an allowlist.',
    enforced_by: 'dom0',
    lines_in: ['settings/contracts.py'],
  },
  'remove.is-a-tombstone': {
    statement:
      "Remove halts and marks, and the mark alone takes a qube out of every reach; it keeps its charge, and can be restored to what its tags say then, until the operator's retention ends; only the timer reaps.",
    enforced_by: 'dom0',
    lines_in: ['qmcpd/births.py', 'qmcpd/invariants.py'],
  },
  'audit.complete': {
    statement:
      'Every call that may change something leaves an intent and an outcome in a hash-chained log; if the intent cannot be written nothing happens. Values and payloads are never logged.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/kernel.py'],
  },
  'crash.no-residue': {
    statement:
      'If qmcpd, qubesd or the machine dies at any point, what remains after restart is either the whole effect or none, and in between the less-authority state.',
    enforced_by: 'dom0',
    lines_in: ['policy/generate.py', 'qmcpd/invariants.py'],
  },
  'frozen.means-frozen': {
    statement: 'After `qmcp-admin freeze`, no call of that world has an effect until `thaw`.',
    enforced_by: 'dom0',
    lines_in: ['qmcpd/kernel.py'],
  },
  'policy.closed': {
    statement:
      'A principal reaches only the services its lines name, on qubes of its world at the tier they ask for; a qube of the world reaches dom0 to boot, others of its world to copy files, and nothing else: no form of `@dispvm`, no principal, no qube of another world.',
    enforced_by: 'policy',
    lines_in: ['policy/generate.py'],
  },
  'policy.consistent': {
    statement:
      'The generated policy grants exactly the services whose contracts are installed; a contract without its line, or a line without its contract, is reported by `qmcp-admin check`.',
    enforced_by: 'policy',
    lines_in: ['settings/contracts.py'],
  },
} as const);
