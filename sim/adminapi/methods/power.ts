import { errors } from '../../host/errors.js';
import * as power from '../../host/power.js';
import { method } from '../method.js';
import { memoryOf } from '../stats.js';

export const POWER_METHODS = [
  method('admin.vm.Start', {}, async ({ host, dest }) => {
    await power.start(host, dest);
    return undefined;
  }),
  method('admin.vm.Shutdown', { arg: null }, async ({ host, dest, argument }) => {
    const words = argument === '' ? [] : argument.split('+');
    if (words.some((word) => word !== 'force' && word !== 'wait')) {
      throw errors.protocol('Argument must match: force, wait');
    }
    await power.shutdown(host, dest, words.includes('force'), words.includes('wait'));
    return undefined;
  }),
  method('admin.vm.Kill', {}, async ({ host, dest }) => {
    await power.kill(host, dest);
    return undefined;
  }),
  method('admin.vm.Pause', {}, async ({ host, dest }) => {
    await power.pause(host, dest);
    return undefined;
  }),
  method('admin.vm.Unpause', {}, async ({ host, dest }) => {
    await power.unpause(host, dest);
    return undefined;
  }),
  method('admin.vm.Suspend', { since: '4.3' }, async ({ host, dest }) => {
    await power.suspend(host, dest);
    return undefined;
  }),
  method('admin.vm.Resume', { since: '4.3' }, async ({ host, dest }) => {
    await power.unpause(host, dest);
    return undefined;
  }),
  method('admin.vm.CurrentState', {}, ({ host, dest }) => {
    const memory = memoryOf(host, dest);
    return [
      `mem=${memory.used}`,
      `mem_static_max=${memory.total}`,
      `cputime=${memory.cpuTime}`,
      `power_state=${power.powerState(host, dest)}`,
    ].join(' ');
  }),
  method('admin.vm.Console', {}, ({ dest }) => {
    if (!dest.running || dest.power === 'Paused') throw errors.notRunning(dest.name);
    return `/dev/pts/${dest.xid}`;
  }),
];
