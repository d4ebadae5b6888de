// Generated from dom0/spec/names.toml by `npm run generate`.
export const TIERS = Object.freeze(['read', 'exec', 'net', 'full'] as const);

export const TIER_NAMES = Object.freeze({
  read: 'read',
  exec: 'exec',
  net: 'net',
  full: 'full',
} as const);

export const GAINS = Object.freeze({
  read: 'see it: its name, state, settings, template and network as far as those are of the world',
  exec: 'start and stop it, run commands in it as root, read and write every file of it, and make clones of it',
  net: "take it off its network and back, and set its outbound rules within the world's ceiling",
  full: 'change its settings, grow its disk, attach devices of the world to it, and remove it',
} as const);

export const TAGS = Object.freeze({
  umbrella: {
    pattern: '{world}-managed',
    words: 'a qube of the world; with no tier tag an agent may only look at it',
  },
  tier: {
    pattern: '{world}-{tier}',
    words: 'what an agent may do with it; the first tier needs no tag, and a disposable has none',
    authority: true,
  },
  disposable: {
    pattern: '{world}-disp-{tier}',
    words:
      'a disposable whose birth is finished, and its tier: it has every other tag of its template from the start',
    authority: true,
  },
  born: {
    pattern: '{world}-born',
    words: 'a qube that a principal made, whose birth is finished',
    authority: true,
  },
  tombstone: {
    pattern: '{world}-tombstone',
    words: 'a qube that an agent removed: no agent reaches it until it is restored',
  },
  guard: {
    pattern: '{world}-guard',
    words: 'an agent may look at it, whatever its tier',
    narrows: true,
  },
  egress_lock: {
    pattern: '{world}-egress-lock',
    words: 'no call changes its outbound rules or its network',
    narrows: true,
  },
  sink: {
    pattern: '{world}-dump',
    words: 'files go into it, and none comes out',
  },
  source: {
    pattern: '{world}-source',
    words: 'a template that agents may build qubes on, at the birth ceiling, whatever its own tier',
  },
  updates: {
    pattern: '{world}-updates',
    words:
      'a template that fetches updates through the qube that qmcp.toml names, and so from any web server',
  },
  anonymous: {
    pattern: 'anon-vm',
    words: "it must not be recognised by the time it has: the host's own tag, and not of any world",
    narrows: true,
  },
  stamp: {
    pattern: 'created-by-{principal}',
    words: 'a principal made it: qubesd writes this, and lets no qube change it',
  },
  disposable_stamp: {
    pattern: 'disp-created-by-{principal}',
    words: 'a disposable that was made for somebody, by qubesd',
  },
} as const);

export const FEATURE = Object.freeze({
  entombed: 'qmcp-entombed',
  birth_network: 'qmcp-network',
  grant: 'qmcp-grant',
  created_with: 'tag-created-vm-with',
  filters: 'qubes-firewall',
  filter_service: 'service.qubes-firewall',
  agent_version: 'qubes-agent-version',
  tor_gateway: 'whonix-gw',
} as const);

export const SERVICE = Object.freeze({
  catalog: 'qmcp.Catalog',
  approved: 'qmcp.plan.Approved',
  copy_contract: 'qmcp.exec.FileCopy',
  copy: 'qubes.Filecopy',
  date: 'qubes.GetDate',
  updates: 'qubes.UpdatesProxy',
  connect: 'qubes.ConnectTCP',
} as const);

export const POWER_STATES = Object.freeze([
  'halted',
  'starting',
  'running',
  'paused',
  'stopping',
  'unknown',
] as const);

export const NAMES = Object.freeze({
  out_of_scope: '<out-of-scope>',
  unknown_state: 'unknown',
  labels: ['red', 'orange', 'yellow', 'green', 'gray', 'blue', 'purple', 'black'],
  device_classes: ['block', 'usb', 'mic'],
  escape_hatches: ['default_dispvm', 'guivm', 'audiovm', 'management_dispvm'],
  cloned: [
    'memory',
    'maxmem',
    'vcpus',
    'kernel',
    'kernelopts',
    'virt_mode',
    'default_user',
    'qrexec_timeout',
    'shutdown_timeout',
    'keyboard_layout',
    'devices_denied',
    'template_for_dispvms',
  ],
  plan_properties: ['label', 'template', 'netvm', 'memory', 'maxmem', 'vcpus', 'default_user'],
  boot_services: [
    'qubes.FeaturesRequest',
    'qubes.GetRandomizedTime',
    'qubes.NotifyTools',
    'qubes.NotifyUpdates',
    'qubes.SyncAppMenus',
  ],
  ends_connections: [4, 2],
  classes: ['AppVM', 'DispVM', 'RemoteVM', 'StandaloneVM', 'TemplateVM'],
  host_defaults: [
    'default_template',
    'default_netvm',
    'clockvm',
    'updatevm',
    'default_dispvm',
    'management_dispvm',
    'default_audiovm',
    'default_guivm',
  ],
  uses: {
    template: {
      words: 'is built on it',
      gains: 'run code in it as root, from its next start',
    },
    netvm: {
      words: 'is routed through it',
      gains: 'read, change and cut its traffic',
    },
    audiovm: {
      words: 'has its sound there',
      gains: 'hear what it plays and records',
    },
    guivm: {
      words: 'has its screen there',
      gains: 'see its windows and type into them',
    },
    default_dispvm: {
      words: 'makes its disposables of it',
      gains: 'run code in each of them',
    },
    management_dispvm: {
      words: 'is managed from disposables of it',
      gains: 'run code in it as root',
    },
    relayvm: {
      words: 'is reached through it',
      gains: 'read, change and cut its calls',
    },
    kernel: {
      words: 'takes its kernel from it',
      gains: 'run code in it as root, from its next start',
    },
  },
  reserved_world: {
    all: 'every world, when it is frozen',
    anon: "the host's own tags, such as anon-vm",
    audiovm: 'tags that qubesd gives and takes away',
    backup: 'tags that qubesd gives and takes away',
    created: 'tags that qubesd gives, and nobody sets',
    disp: 'tags that qubesd gives, and nobody sets',
    guivm: 'tags that qubesd gives and takes away',
    relayvm: 'tags that qubesd gives and takes away',
    whonix: "the host's own tags, such as whonix-updatevm",
  },
  power_state: {
    Halted: 'halted',
    Crashed: 'halted',
    Transient: 'starting',
    Running: 'running',
    Paused: 'paused',
    Suspended: 'paused',
    Halting: 'stopping',
    Dying: 'stopping',
  },
  event: {
    'domain-pre-start': 'starting',
    'domain-start': 'started',
    'domain-start-failed': 'start-failed',
    'domain-shutdown': 'halted',
    'domain-paused': 'paused',
    'domain-unpaused': 'resumed',
    'property-set:label': 'changed',
    'property-set:memory': 'changed',
    'property-set:maxmem': 'changed',
    'property-set:vcpus': 'changed',
    'property-set:netvm': 'network-changed',
    'firewall-changed': 'rules-changed',
    'device-attach:block': 'device-attached',
    'device-detach:block': 'device-detached',
    'device-attach:usb': 'device-attached',
    'device-detach:usb': 'device-detached',
  },
} as const);
