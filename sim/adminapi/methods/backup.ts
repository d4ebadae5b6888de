import { ApiError, errors, repr } from '../../host/errors.js';
import { method } from '../method.js';

const profile = { arg: true, dom0: true } as const;

/** No backup profile exists on a simulated host; asking for one is answered as it is where there is none. */
function noProfile(name: string): never {
  if (!/^[A-Za-z0-9_-]+$/.test(name))
    throw errors.protocol('Backup profile name contains illegal characters');
  throw new ApiError('QubesBackupProfileNotFoundError', `Backup profile ${repr(name)} does not exist`);
}

export const BACKUP_METHODS = [
  method('admin.backup.Execute', profile, ({ argument }) => noProfile(argument)),
  method('admin.backup.Info', profile, ({ argument }) => noProfile(argument)),
  method('admin.backup.Cancel', profile, ({ argument }) => noProfile(argument)),
];
