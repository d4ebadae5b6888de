import { errors } from '../../host/errors.js';
import { canonicalRule, isExpired } from '../../host/firewall.js';
import { isAscii, lines, method, textOf } from '../method.js';

const onQube = { dom0: false } as const;

export const FIREWALL_METHODS = [
  method('admin.vm.firewall.Get', onQube, ({ host, dest }) =>
    lines(dest.firewall.filter((rule) => !isExpired(rule, host.now()))),
  ),
  method('admin.vm.firewall.Set', { ...onQube, payload: true }, ({ host, dest, payload }) => {
    if (!isAscii(payload)) throw errors.protocol('Rules contains non-ASCII characters');
    const untrusted_lines = textOf(payload).split(/\r\n|\r|\n/);
    if (untrusted_lines.at(-1) === '') untrusted_lines.pop();
    dest.firewall = untrusted_lines.map(canonicalRule);
    host.fire(dest, 'firewall-changed');
    return undefined;
  }),
  method('admin.vm.firewall.Reload', onQube, ({ host, dest }) => {
    host.fire(dest, 'firewall-changed');
    return undefined;
  }),
];
