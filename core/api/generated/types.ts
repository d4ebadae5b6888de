// Generated from dom0/spec/types.toml by `npm run generate`.
export const TYPES = Object.freeze({
  qube_name: {
    description: 'a qube name',
    type: 'string',
    pattern: '^[a-zA-Z][a-zA-Z0-9_.-]*$',
    maxLength: 31,
  },
  new_name: {
    description: 'a qube name',
    type: 'string',
    pattern: '^(?!(?:none|default|dom0|Domain-0|.*-dm)$)[a-zA-Z][a-zA-Z0-9_.-]*$',
    maxLength: 31,
  },
  principal_name: {
    description: 'a qube name without a dot, because qubesd tags with it',
    type: 'string',
    pattern: '^(?!(?:none|default|dom0|Domain-0|.*-dm)$)[a-zA-Z][a-zA-Z0-9_-]*$',
    maxLength: 31,
  },
  parameter: {
    description: 'a parameter: a letter, then at most 31 letters, digits and underscores',
    type: 'string',
    pattern: '^[a-zA-Z][a-zA-Z0-9_]{0,31}$',
  },
  label: {
    enum: ['red', 'orange', 'yellow', 'green', 'gray', 'blue', 'purple', 'black'],
  },
  network: {
    enum: ['inherit', 'none'],
  },
  kind: {
    enum: ['AppVM', 'DispVMTemplate'],
  },
  memory: {
    type: 'integer',
    minimum: 64,
    maximum: 1048576,
  },
  vcpus: {
    type: 'integer',
    minimum: 1,
    maximum: 64,
  },
  size: {
    type: 'integer',
    minimum: 1,
    maximum: 1125899906842624,
  },
  seconds: {
    type: 'integer',
    minimum: 1,
    maximum: 600,
  },
  switch: {
    type: 'boolean',
  },
  settable_feature: {
    anyOf: [
      {
        type: 'string',
        pattern: '^(?:service[.])?x-[a-zA-Z0-9_.-]+$',
        maxLength: 56,
      },
      {
        enum: [
          'service.avahi',
          'service.crond',
          'service.cups',
          'service.disable-default-route',
          'service.disable-dns-server',
          'service.evolution-data-server',
          'service.exim4',
          'service.getty',
          'service.no-qubesincoming-cleanup',
          'service.ntpd',
          'service.tracker',
        ],
      },
    ],
  },
  text: {
    type: 'string',
    pattern: '^[a-zA-Z0-9_.-]*$',
    maxLength: 64,
  },
  plan_text: {
    type: 'string',
    minLength: 2,
    maxLength: 65536,
  },
  digest: {
    description: '64 hexadecimal digits',
    type: 'string',
    pattern: '^[0-9a-f]*$',
    minLength: 64,
    maxLength: 64,
  },
  step_number: {
    type: 'integer',
    minimum: 1,
    maximum: 32,
  },
  exit_code: {
    type: 'integer',
    minimum: 0,
    maximum: 255,
  },
  plan_wait: {
    type: 'integer',
    minimum: 0,
    maximum: 60,
  },
  devclass: {
    enum: ['block', 'usb', 'mic'],
  },
  port: {
    type: 'string',
    pattern: '^[a-z0-9_.-]+$',
    minLength: 1,
    maxLength: 32,
  },
  rules: {
    type: 'array',
    items: {
      type: 'object',
      additionalProperties: false,
      required: ['to'],
      properties: {
        to: {
          description: '*, dns, a host, *.host, an address or a network',
          type: 'string',
          minLength: 1,
          maxLength: 253,
        },
        protocol: {
          enum: ['tcp', 'udp', 'icmp'],
        },
        ports: {
          description: 'a port, or the first and the last with a hyphen',
          type: 'string',
          pattern: '^[0-9-]+$',
          maxLength: 11,
        },
      },
    },
    maxItems: 127,
  },
  rule: {
    type: 'object',
    additionalProperties: false,
    required: ['to'],
    properties: {
      to: {
        description: '*, dns, a host, *.host, an address or a network',
        type: 'string',
        minLength: 1,
        maxLength: 253,
      },
      protocol: {
        enum: ['tcp', 'udp', 'icmp'],
      },
      ports: {
        description: 'a port, or the first and the last with a hyphen',
        type: 'string',
        pattern: '^[0-9-]+$',
        maxLength: 11,
      },
    },
  },
} as const);
