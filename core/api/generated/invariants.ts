// Generated from dom0/spec/invariants.toml by `npm run generate`.
export const INVARIANTS = Object.freeze({
  'scope.existence-hidden': {
    enforcedBy: 'dom0',
    statement:
      'A name that does not exist and a name outside the world get byte-identical replies, from every service, after the same kind and number of qubesd calls.',
  },
  'scope.values-redacted': {
    enforcedBy: 'dom0',
    statement:
      'No reply, event or error names a qube outside the world (enrolled gateways excepted), an address, a pool, a volume path or exception text.',
  },
  'scope.self-excluded': {
    enforcedBy: 'dom0',
    statement:
      'A principal is never the object of its own call, nor is any other principal, gateway or dom0.',
  },
  'consent.names-the-qube': {
    enforcedBy: 'dom0',
    statement:
      "A call on a qube names that qube in its argument, or is answered like a call on a name that does not exist; so every question to the operator, and every line of the policy's log, says which qube it is about.",
  },
  'consent.opens-nothing': {
    enforcedBy: 'policy',
    statement:
      'A question to the operator opens nothing that the policy closes without it: nobody is asked about a guarded, removed or unfinished qube, a gateway, a qube below the tier or outside the world, or while the world is frozen.',
  },
  'tags.operator-only': {
    enforcedBy: 'dom0',
    statement: "No call adds or removes a tag, except the marks of a birth and the tombstone's.",
  },
  'tiers.unreadable': {
    enforcedBy: 'dom0',
    statement: 'Tier, guard and restriction tags never reach an agent, by value, event name or error.',
  },
  'tiers.no-escalation': {
    enforcedBy: 'dom0',
    statement:
      "No sequence of calls gives the world a capability on any qube that the operator did not give it; children are born at most at their source's tier, or at any of a template that the operator gave to build on, clamped by the world's birth ceiling.",
  },
  'restrictions.inherit': {
    enforcedBy: 'dom0',
    statement:
      'Restriction tags of a source (guard, egress lock, anonymity) are carried by every child, and anonymity by every child of an anonymous world; no call changes the rules or the network of a qube with an egress lock.',
  },
  'birth.tagged-before-named': {
    enforcedBy: 'dom0',
    statement:
      'A created qube carries the umbrella and its owner stamp before the caller learns its name; if any later step fails it is removed, and a failed removal is reported as such.',
  },
  'birth.namespace': {
    enforcedBy: 'dom0',
    statement:
      "Created names match the world's prefix; refusal depends on the shape of the name alone, before any look-up.",
  },
  'birth.class': {
    enforcedBy: 'dom0',
    statement:
      'Only AppVM, disposable templates (AppVM with the flag) and DispVM are created; TemplateVM and StandaloneVM never.',
  },
  'birth.egress-inherited': {
    enforcedBy: 'dom0',
    statement:
      "A child sits on its workload source's network (none included), else on its world's birth gateway; a template's own network is never inherited.",
  },
  'birth.no-escape-hatch': {
    enforcedBy: 'dom0',
    statement:
      'Children have no `default_dispvm`, no `guivm`, `audiovm` or `management_dispvm`, no autostart, no preloaded disposables.',
  },
  'egress.never-widens': {
    enforcedBy: 'dom0',
    statement:
      'No call gives a qube a network it did not have at birth; disconnecting is allowed unless its egress is locked, reconnecting only to its birth gateway.',
  },
  'egress.gateways-only': {
    enforcedBy: 'dom0',
    statement:
      'No qube of the world is put on a network qube, or started on one, that is not an enrolled gateway.',
  },
  'egress.gateways-as-declared': {
    enforcedBy: 'dom0',
    statement:
      'No call makes, starts, resumes or reconnects a qube on a gateway that should apply its rules, or hide where it is, and by its features does not; and none sets the rules of a qube there.',
  },
  'egress.no-new-gateway': {
    enforcedBy: 'dom0',
    statement: "`provides_network` is never written, a gateway's network never changed.",
  },
  'egress.within-ceiling': {
    enforcedBy: 'dom0',
    statement:
      "Firewall rules written by a call are a subset of the operator's ceiling, end in drop, and are at most 128.",
  },
  'budget.hard': {
    enforcedBy: 'dom0',
    statement:
      "Disk (persistent bytes, tombstones included), count of qubes, memory, vcpus, calls per minute, creates per hour and concurrent calls never exceed the world's budget, under any concurrency.",
  },
  'budget.numbers-private': {
    enforcedBy: 'dom0',
    statement:
      'A refusal echoes no number; the agent reads used, limit and left from the budget service, which predicts the gate exactly and shows nothing of the pool.',
  },
  'props.allowlist': {
    enforcedBy: 'dom0',
    statement:
      'Only listed properties and features can be written, each with its own type and range; every other name gets one uniform refusal.',
  },
  'devices.both-ends': {
    enforcedBy: 'dom0',
    statement:
      'Attach and detach need both ends in scope at full tier; classes block, usb and mic only; options are an allowlist.',
  },
  'remove.is-a-tombstone': {
    enforcedBy: 'dom0',
    statement:
      "Remove halts and marks, and the mark alone takes a qube out of every reach; it keeps its charge, and can be restored to what its tags say then, until the operator's retention ends; only the timer reaps.",
  },
  'plans.approved': {
    enforcedBy: 'dom0',
    statement:
      'A step of a plan happens at most once, in order, as a person read it, on the very qubes that it was approved for, and only while the approval stands; the approval lifts the tier, and no guard and nothing else.',
  },
  'audit.complete': {
    enforcedBy: 'dom0',
    statement:
      'Every call that may change something leaves an intent and an outcome in a hash-chained log; if the intent cannot be written nothing happens. Values and payloads are never logged.',
  },
  'crash.no-residue': {
    enforcedBy: 'dom0',
    statement:
      'If qmcpd, qubesd or the machine dies at any point, what remains after restart is either the whole effect or none, and in between the less-authority state.',
  },
  'frozen.means-frozen': {
    enforcedBy: 'dom0',
    statement: 'After `qmcp-admin freeze`, no call of that world has an effect until `thaw`.',
  },
  'policy.closed': {
    enforcedBy: 'policy',
    statement:
      'A principal reaches only the services its lines name, on qubes of its world at the tier they ask for; a qube of the world reaches dom0 to boot, others of its world to copy files, and nothing else, but that a principal reaches its model, and a template with the tag for updates their proxy: no form of `@dispvm`, no principal, no qube of another world.',
  },
  'policy.consistent': {
    enforcedBy: 'policy',
    statement:
      'The generated policy grants exactly the services whose contracts are installed; a contract without its line, or a line without its contract, is reported by `qmcp-admin check`.',
  },
} as const);
