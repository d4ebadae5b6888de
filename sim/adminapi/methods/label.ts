import { ApiError, errors } from '../../host/errors.js';
import { validateLabelName } from '../../host/names.js';
import type { HostState, Label } from '../../host/state.js';
import { isAscii, lines, method, textOf } from '../method.js';

const named = { arg: true, dom0: true } as const;
const BUILT_IN = 8;

export const LABEL_METHODS = [
  method('admin.label.List', { dom0: true }, ({ host }) => lines(host.labels.map(({ name }) => name))),
  method('admin.label.Get', named, ({ host, argument }) => labelOf(host, argument).color),
  method('admin.label.Index', named, ({ host, argument }) => String(labelOf(host, argument).index)),
  method('admin.label.Create', { ...named, payload: true }, ({ host, argument, payload }) => {
    validateLabelName(argument, true);
    const color = colorOf(payload);
    if (host.labels.some(({ name }) => name === argument)) {
      throw host.since('4.4') ? errors.labelInUse(argument) : errors.value('label already exists');
    }
    const index = Math.max(BUILT_IN, ...host.labels.map((label) => label.index)) + 1;
    host.labels.push({ index, name: argument, color });
    return undefined;
  }),
  method('admin.label.Remove', named, ({ host, argument }) => {
    const label = labelOf(host, argument);
    if (label.index <= BUILT_IN) throw errors.protocol('Can only remove custom labels');
    for (const qube of host.qubes()) {
      if (qube.set.get('label') === label.name) {
        throw host.since('4.4') ? errors.labelInUse(label.name) : errors.exception('label still in use');
      }
    }
    host.labels.splice(host.labels.indexOf(label), 1);
    return undefined;
  }),
];

function labelOf(host: HostState, name: string): Label {
  validateLabelName(name);
  const label = host.labels.find((each) => each.name === name || String(each.index) === name);
  if (label === undefined)
    throw host.since('4.4') ? errors.noLabel(name) : new ApiError('QubesValueError', '');
  return label;
}

function colorOf(untrusted_payload: Uint8Array): string {
  if (untrusted_payload.length === 0) throw errors.labelValue('Label value must be set');
  if (!isAscii(untrusted_payload)) throw errors.labelValue('Label value must be encoded in ASCII');
  const text = textOf(untrusted_payload).trim();
  if (text.length !== 8) throw errors.labelValue('Label value must have length of 8');
  if (!text.startsWith('0x')) throw errors.labelValue('Label value must start with: 0x');
  if (!/^0x[0-9a-fA-F]{6}$/.test(text)) {
    throw errors.labelValue(
      'Label value must only contain hexadecimal digits after prefix: 0123456789abcdefABCDEF',
    );
  }
  return text;
}
