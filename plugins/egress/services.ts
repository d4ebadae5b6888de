import {
  axioms,
  defineHostService,
  defineTargetService,
  LIMITS,
  NoParams,
  QubeName,
  QubeState,
  QubeSummary,
  step,
  Type,
} from '../../core/api/index.js';

const {
  existenceHidden,
  valuesRedacted,
  withinCeiling,
  gatewaysAsDeclared,
  restrictionsInherit,
  selfExcluded,
} = axioms;

/** An outbound rule as data. dom0 checks what the schema cannot express. */
export const EgressRule = Type.Object(
  {
    to: Type.String({ minLength: 1, maxLength: 253 }),
    protocol: Type.Optional(Type.Enum(['tcp', 'udp', 'icmp'])),
    ports: Type.Optional(Type.String({ pattern: '^[0-9-]+$', maxLength: 11 })),
  },
  { additionalProperties: false },
);
const Rules = Type.Array(EgressRule, { maxItems: LIMITS.firewall_rules });
const By = Type.Enum(['world', 'operator']);

/** `filters`: by qmcp.toml, it applies the rules of the qubes on it. `usable`: it is as qmcp.toml says, by its features. */
export const Gateway = Type.Object(
  {
    name: QubeName,
    usable: Type.Boolean(),
    filters: Type.Boolean(),
    anonymising: Type.Boolean(),
    label: Type.String({ maxLength: 64 }),
  },
  { additionalProperties: false },
);

export const status = defineHostService('qmcp.egress.Status', {
  effect: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  steps: [step.ceiling(), step.list()],
  reply: Type.Object(
    {
      gateways: Type.Array(Gateway),
      birth_gateway: Type.Union([QubeName, Type.Null()]),
      ceiling: Type.Array(EgressRule),
      prefix: Type.String({ maxLength: 31 }),
      qubes: Type.Array(QubeSummary),
    },
    { additionalProperties: false },
  ),
});

/** The rules of a qube, with its state: without a network, the rules have no effect. */
export const rulesGet = defineTargetService('qmcp.egress.RulesGet', {
  effect: 'read',
  capability: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  steps: [step.rules({ qube: '$target' }), step.read({ qube: '$target' })],
  reply: Type.Object({ rules: Rules, by: By, ...QubeState.properties }, { additionalProperties: false }),
});

export const rulesSet = defineTargetService('qmcp.egress.RulesSet', {
  effect: 'write',
  capability: 'net',
  params: Type.Object({ rules: Rules }, { additionalProperties: false }),
  invariants: [withinCeiling, gatewaysAsDeclared, restrictionsInherit, selfExcluded],
  steps: [step.firewall({ qube: '$target', rules: '$rules' })],
  reply: Type.Object(
    {
      rules: Rules,
      takes_effect: Type.Enum(['soon', 'at-start', 'with-network', 'not-promised', 'unknown-network']),
      open_connections: Type.Enum(['end', 'go-on']),
      until_then: Rules,
      until_then_by: By,
    },
    { additionalProperties: false },
  ),
});
