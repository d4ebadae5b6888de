import {
  definePlugin,
  defineTool,
  describedInput,
  eachOf,
  invalidAt,
  LIMITS,
  NoParams,
  QubeName,
  ruleFault,
  Type,
} from '../../core/api/index.js';
import { questionOf, reach } from './reach.js';
import { EgressRule, rulesGet, rulesSet, status } from './services.js';

const { network } = rulesGet.reply.properties;
const { rules, by } = rulesGet.reply.properties;
const DescribedRule = describedInput(EgressRule.properties, {
  to: '* for everything, dns for the resolvers, a host name, an address, or a network such as 10.0.0.0/8',
  protocol: 'only this protocol; any if absent',
  ports: 'one port, or first-last; only with protocol tcp or udp; all if absent',
});
const Reach = Type.Object({ qube: QubeName, network, by, rules }, { additionalProperties: false });

export default definePlugin({
  id: 'egress',
  apiVersion: 1,
  title: 'What qubes reach outside',
  services: [status, rulesGet, rulesSet],
  tools: [
    defineTool({
      name: 'egress_status',
      title: 'Show what the qubes reach',
      description:
        'Shows your gateways, the ceiling (the most any rule may allow) and the rules of each qube. Those `by` the operator are not shown. A gateway that does not filter need not apply the rules.',
      effect: 'read',
      input: NoParams,
      output: Type.Object(
        {
          gateways: status.reply.properties.gateways,
          birth_gateway: status.reply.properties.birth_gateway,
          ceiling: status.reply.properties.ceiling,
          qubes: Type.Array(Reach),
        },
        { additionalProperties: false },
      ),
      uses: { status, rulesGet },
      upholds: status.invariants,
      run: async ({ status, rulesGet }, _input, { signal }) => {
        const { gateways, birth_gateway, ceiling, qubes } = await status({}, signal);
        const reached = await eachOf(qubes, async ({ name }) => {
          const { network, by, rules } = await rulesGet(name, {}, signal);
          return { qube: name, network, by, rules };
        });
        return { gateways, birth_gateway, ceiling, qubes: reached };
      },
    }),
    defineTool({
      name: 'egress_rules_get',
      title: 'Show the outbound rules of a qube',
      description:
        'Shows the outbound rules of a qube. What none allows is dropped; those `by` the operator are not shown.',
      effect: 'read',
      input: describedInput({ qube: QubeName }, { qube: 'the qube whose rules to show' }),
      output: Reach,
      uses: { rulesGet },
      upholds: rulesGet.invariants,
      run: async ({ rulesGet }, { qube }, { signal }) => {
        const { network, by, rules } = await rulesGet(qube, {}, signal);
        return { qube, network, by, rules };
      },
    }),
    defineTool({
      name: 'egress_rules_set',
      title: 'Set the outbound rules of a qube',
      description:
        'Replaces the outbound rules of a qube. If one is beyond the ceiling of egress_status, the call is `not-permitted` and none is set. The gateway applies them after the call, and does not report it: see `takes_effect`.',
      effect: 'destroy',
      idempotent: true,
      input: describedInput(
        { qube: QubeName, rules: Type.Array(DescribedRule, { maxItems: LIMITS.firewall_rules }) },
        {
          qube: 'the qube whose rules to replace',
          rules: 'all of its rules from now on; none allows nothing',
        },
      ),
      output: rulesSet.reply,
      uses: { rulesSet },
      upholds: rulesSet.invariants,
      run: ({ rulesSet }, { qube, rules }, { signal }) => {
        for (const [index, rule] of rules.entries()) {
          const [of, problem] = ruleFault(rule) ?? [];
          if (problem !== undefined) throw invalidAt(`/rules/${index}/${of}`, problem);
        }
        return rulesSet(qube, { rules }, signal);
      },
    }),
    defineTool({
      name: 'egress_explain',
      title: 'Explain whether a packet would pass',
      description:
        'Tells whether packets to `host` pass once the rules are applied, which rule decides, and which line of the ceiling would allow one.',
      effect: 'read',
      input: describedInput(
        {
          qube: QubeName,
          host: Type.String({ minLength: 1, maxLength: 253 }),
          port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
          protocol: EgressRule.properties.protocol,
        },
        {
          qube: 'the qube that sends the packets',
          host: 'a host name, an address, a network or dns; not a URL',
          port: 'the port they are sent to; every port if absent',
          protocol: 'their protocol; with a port tcp by default, and only tcp or udp',
        },
      ),
      output: Type.Object(
        {
          passes: Type.Enum(['yes', 'partly', 'unknown', 'no']),
          because: Type.Enum(['rule', 'no-rule', 'no-network', 'gateway', 'operator']),
          rule: Type.Union([EgressRule, Type.Null()]),
          ceiling: Type.Union([EgressRule, Type.Null()]),
        },
        { additionalProperties: false },
      ),
      uses: { rulesGet, status },
      upholds: rulesGet.invariants,
      run: async ({ rulesGet, status }, { qube, host, port, protocol }, { signal }) => {
        const question = questionOf(host, port, protocol);
        const { network, by, rules } = await rulesGet(qube, {}, signal);
        const { ceiling: lines, gateways } = await status({}, signal);
        const limit = reach(lines, question);
        const ceiling = limit.passes === 'yes' ? lines[limit.rule]! : null;
        if (network === null)
          return { passes: 'no' as const, because: 'no-network' as const, rule: null, ceiling };
        const gateway = gateways.find(({ name }) => name === network);
        // What the rules do not allow is dropped only by a gateway that applies them.
        if (
          !(gateway?.filters && gateway.usable) &&
          (by === 'operator' || reach(rules, question).passes !== 'yes')
        )
          return { passes: 'unknown' as const, because: 'gateway' as const, rule: null, ceiling };
        if (by === 'operator')
          return { passes: 'unknown' as const, because: 'operator' as const, rule: null, ceiling };
        const verdict = reach(rules, question);
        return verdict.passes === 'no'
          ? { passes: 'no' as const, because: 'no-rule' as const, rule: null, ceiling }
          : { passes: verdict.passes, because: 'rule' as const, rule: rules[verdict.rule]!, ceiling };
      },
    }),
  ],
});
