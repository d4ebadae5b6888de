import { ApiError, errors } from '../../host/errors.js';
import { type Call, method } from '../method.js';

const profile = { arg: true, dom0: true } as const;

/** A simulated host has no backup profile; every request for one gets the reply for a missing profile. */
function noProfile({ host, argument }: Call): never {
  if (argument.includes('/')) {
    throw errors.protocol('Backup profile ID must not contain forward slash character');
  }
  throw host.since('4.4')
    ? new ApiError('QubesBackupProfileNotFoundError', `Backup profile does not exist: ${argument}`)
    : errors.denied(`Backup profile ${argument} does not exist`);
}

export const BACKUP_METHODS = [
  method('admin.backup.Execute', profile, noProfile),
  method('admin.backup.Info', profile, noProfile),
  method('admin.backup.Cancel', profile, ({ argument }) => {
    if (argument.includes('/')) {
      throw errors.protocol('Backup profile ID must not contain forward slash character');
    }
    throw errors.exception('Backup operation not running');
  }),
];
