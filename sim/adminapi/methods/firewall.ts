import { errors, NoReply } from '../../host/errors.js';
import { canonicalRule, isExpired } from '../../host/firewall.js';
import { type Call, isAscii, lines, method, textOf } from '../method.js';

const onQube = { dom0: false } as const;

function enforceLocal({ dest }: Call): void {
  if (dest.class === 'RemoteVM') throw new NoReply('no firewall');
}

export const FIREWALL_METHODS = [
  method('admin.vm.firewall.Get', onQube, (call) => {
    enforceLocal(call);
    return lines(call.dest.firewall.filter((rule) => !isExpired(rule, call.host.now())));
  }),
  method('admin.vm.firewall.Set', { ...onQube, payload: true }, (call) => {
    const { host, dest, payload } = call;
    enforceLocal(call);
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
