import { powerState } from '../../host/power.js';
import { QUBE_CLASSES } from '../../host/qube.js';
import { lines, method } from '../method.js';

export const LIST_METHODS = [
  method('admin.vmclass.List', { dom0: true }, ({ host }) =>
    lines(QUBE_CLASSES.filter((qubeClass) => qubeClass !== 'RemoteVM' || host.since('4.3'))),
  ),
  method('admin.deviceclass.List', { dom0: true }, ({ host }) => lines(host.deviceClasses)),
  method('admin.vm.List', {}, ({ host, source, dest }) => {
    const all = dest.class === 'AdminVM' ? host.sorted() : [dest];
    const seen =
      source.class === 'AdminVM'
        ? all
        : all.filter((qube) => host.visible('admin.vm.List', '', source.name, qube.name));
    return lines(
      seen.map((qube) => {
        const line = `${qube.name} class=${qube.class} state=${powerState(host, qube)}`;
        return host.since('4.3') ? `${line} uuid=${qube.uuid}` : line;
      }),
    );
  }),
];
