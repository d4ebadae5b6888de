import { errors } from '../../host/errors.js';
import { validateTag } from '../../host/names.js';
import { addTag, removeTag } from '../../host/tags.js';
import { type Call, lines, method } from '../method.js';

const one = { arg: true } as const;

/** Only the host itself may change who created a qube. */
function enforceOwner({ source, argument }: Call): void {
  if (argument.startsWith('created-by-') && source.class !== 'AdminVM') {
    throw errors.denied('changing this tag is prohibited by qubes.ext.admin.AdminExtension');
  }
}

export const TAG_METHODS = [
  method('admin.vm.tag.List', {}, ({ dest }) => lines([...dest.tags].sort())),
  method('admin.vm.tag.Get', one, ({ host, dest, argument }) => {
    validateTag(argument, host.api);
    return dest.tags.has(argument) ? '1' : '0';
  }),
  method('admin.vm.tag.Set', one, (call) => {
    validateTag(call.argument, call.host.api);
    enforceOwner(call);
    addTag(call.host, call.dest, call.argument);
    return undefined;
  }),
  method('admin.vm.tag.Remove', one, (call) => {
    validateTag(call.argument, call.host.api);
    enforceOwner(call);
    removeTag(call.host, call.dest, call.argument);
    return undefined;
  }),
];
