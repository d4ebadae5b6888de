import { errors } from '../../host/errors.js';
import { findFeature, removeFeature, setFeature } from '../../host/features.js';
import { type Call, isAscii, lines, method, textOf } from '../method.js';

const one = { arg: true } as const;

/** Notes of the daemon; nobody else may write them, not even dom0. */
const PROHIBITED = new Set([
  'deferred-netvm-original',
  'preload-dispvm',
  'preload-dispvm-completed',
  'preload-dispvm-in-progress',
]);

function enforceOwner({ host, argument }: Call): void {
  if (PROHIBITED.has(argument) && host.since('4.3')) {
    throw errors.denied('changing this feature is prohibited by qubes.ext.admin.AdminExtension');
  }
}

function check(name: string, along: 'template' | 'netvm' | null, dom0: boolean) {
  return method(`admin.vm.feature.${name}`, one, ({ host, dest, argument }) => {
    const value = findFeature(host, dest, argument, along, dom0);
    if (value === undefined) throw errors.noFeature(argument, dest.name);
    return value;
  });
}

export const FEATURE_METHODS = [
  method('admin.vm.feature.List', {}, ({ dest }) => lines(dest.features.keys())),
  check('Get', null, false),
  check('CheckWithTemplate', 'template', false),
  check('CheckWithNetvm', 'netvm', false),
  check('CheckWithAdminVM', null, true),
  check('CheckWithTemplateAndAdminVM', 'template', true),
  method('admin.vm.feature.Remove', one, (call) => {
    enforceOwner(call);
    removeFeature(call.host, call.dest, call.argument);
    return undefined;
  }),
  method('admin.vm.feature.Set', { ...one, payload: null }, (call) => {
    const { host, dest, argument, payload } = call;
    if (!isAscii(payload)) throw errors.protocol('Feature value contains non-ASCII characters');
    const value = textOf(payload);
    const refuse = host.since('4.4') ? errors.protocol : errors.value;
    if (host.since('4.3')) {
      if (!/^[a-zA-Z0-9_.-]+$/.test(argument)) throw refuse('feature name contains illegal characters');
      if (!/^[\x20-\x7e]*$/.test(value)) throw refuse(`${argument} value contains illegal characters`);
    }
    enforceOwner(call);
    setFeature(host, dest, argument, value);
    return undefined;
  }),
];
