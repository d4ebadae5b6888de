/** `qmcp.exec.FileCopy` and `PackageInstall` for guests without processes: runs the commands that a user would type. */
import { LIMITS } from '../../core/api/generated/limits.js';
import { Type } from '../../core/vendor/typebox.js';
import { outcomeOf } from './exec-run.js';
import type { ServiceCall } from './guest.js';
import type { MemoryGuest } from './memory-guest.js';
import { followToEnd } from './paths.js';
import { accountOf, answer, Path, Refusal, type Respond, User } from './protocol.js';

const Timeout = Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.command_seconds }));
const DENIED = 126;

export function fileCopy(guest: MemoryGuest, call: ServiceCall): Promise<number> {
  const target = Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9_.-]{0,30}$' });
  return answer(
    call,
    { target, path: Path, user: User, timeout: Timeout },
    async (request, _body, send, signal) => {
      const { path, user = 'user', timeout = LIMITS.default_copy_seconds } = request;
      const { home } = accountOf(user);
      await requirePath(guest.fs, home, path);
      const from = guest.fs.resolvePath(home, path);
      const name = from.split('/').at(-1)!;
      if (name === '') throw new Refusal('invalid-request');
      const result = await command(guest, ['qvm-copy-to-vm', request.target, from], {
        user,
        timeout,
        send,
        signal,
      });
      if (result.exit === DENIED) throw new Refusal('not-found');
      return { ...result, name };
    },
  );
}

/** A link is copied as one, wherever it leads; only a directory may have a slash after its name. */
async function requirePath(fs: MemoryGuest['fs'], home: string, path: string): Promise<void> {
  if (/(^|\/)\.{0,2}$/.test(path)) await followToEnd(fs, home, path);
  else {
    const slash = path.lastIndexOf('/') + 1;
    const folder = await followToEnd(fs, home, path.slice(0, slash) || '.');
    await fs.lstat(`${folder.path}/${path.slice(slash)}`);
  }
}

export function packageInstall(guest: MemoryGuest, call: ServiceCall): Promise<number> {
  const name = Type.String({
    pattern: '^[A-Za-z0-9]([A-Za-z0-9+._-]*[A-Za-z0-9+])?$',
    maxLength: LIMITS.package_name,
  });
  const packages = Type.Array(name, { minItems: 1, maxItems: LIMITS.packages });
  return answer(call, { packages, timeout: Timeout }, async (request, _body, send, signal) => {
    const { timeout = LIMITS.default_install_seconds } = request;
    const how = { user: 'root', timeout, send, signal };
    await command(guest, ['apt-get', '-q', 'update'], how);
    const words = ['apt-get', '-q', '-y', 'install', ...request.packages];
    return { manager: 'apt-get', ...(await command(guest, words, how)) };
  });
}

async function command(
  guest: MemoryGuest,
  words: readonly string[],
  how: { user: string; timeout: number; send: Respond; signal: AbortSignal },
) {
  const { user, timeout, send, signal } = how;
  const late = AbortSignal.timeout(timeout * 1000);
  const result = await guest.run({
    command: words,
    user,
    signal: AbortSignal.any([late, signal]),
    onOutput: (stream, bytes) => send(stream === 'stdout' ? 'O' : 'E', bytes),
  });
  return outcomeOf(result, late.aborted);
}
