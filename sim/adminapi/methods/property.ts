import { definition, listProperties, resetProperty, setProperty } from '../../host/properties/access.js';
import { displayValue, serialize, typeWord } from '../../host/properties/serialize.js';
import type { Qube } from '../../host/qube.js';
import { type Call, lines, type Method, method } from '../method.js';

const one = { arg: true } as const;

/** The same methods for the properties of a qube and, on dom0, for those of the host. */
function family(prefix: string, dom0: true | null, holderOf: (call: Call) => Qube | null): Method[] {
  return [
    method(`${prefix}.List`, { dom0 }, (call) =>
      lines(listProperties(call.host, holderOf(call)).map(({ name }) => name)),
    ),
    method(`${prefix}.Get`, { ...one, dom0 }, (call) => serialize(call.host, holderOf(call), call.argument)),
    method(`${prefix}.GetAll`, { dom0 }, (call) =>
      lines(
        listProperties(call.host, holderOf(call)).map(({ name }) => {
          const text = serialize(call.host, holderOf(call), name);
          return `${name} ${text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`;
        }),
      ),
    ),
    method(`${prefix}.GetDefault`, { ...one, dom0 }, (call) => {
      const holder = holderOf(call);
      const row = definition(call.host, holder, call.argument);
      return row.default === undefined
        ? ''
        : `type=${typeWord(call.host, row)} ${displayValue(row.default(call.host, holder))}`;
    }),
    method(`${prefix}.Help`, { ...one, dom0 }, (call) => {
      return definition(call.host, holderOf(call), call.argument).help;
    }),
    method(
      `${prefix}.Set`,
      { ...one, payload: null, dom0 },
      (call) => setProperty(call.host, holderOf(call), call.argument, call.payload) as undefined,
    ),
    method(
      `${prefix}.Reset`,
      { ...one, dom0 },
      (call) => resetProperty(call.host, holderOf(call), call.argument) as undefined,
    ),
  ];
}

export const PROPERTY_METHODS = [
  ...family('admin.vm.property', null, (call) => call.dest),
  ...family('admin.property', true, () => null),
];
