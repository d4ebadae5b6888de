import { USERS } from './accounts.js';
import { fileCopy, packageInstall } from './carry.js';
import { execOutput, execRun, execStop } from './exec-run.js';
import { receive } from './filecopy.js';
import { fileList, fileRead, fileWrite } from './files.js';
import type { MemoryService } from './memory-guest.js';
import { planApproved } from './plan-approved.js';
import { refusalFrame } from './protocol.js';

/** A service that answers only calls whose argument is the name of its qube, like each service of the guest package. */
const named =
  (service: MemoryService, nameIn = (argument: string) => argument): MemoryService =>
  async (guest, call) => {
    if (nameIn(call.argument) === guest.name) return service(guest, call);
    call.stdout(refusalFrame('not-found'));
    return 0;
  };

/** A shell that reads its script from the caller, like `qubes.VMShell`. */
const shell =
  (user?: string): MemoryService =>
  async (guest, call) => {
    const script = Buffer.from(await collect(call.stdin)).toString('utf8');
    const result = await guest.run({ command: script, user: user ?? call.user, signal: call.signal });
    call.stdout(result.stdout);
    call.stderr(result.stderr);
    return result.exit;
  };

/** Stores files from another qube in a directory of its name. */
const filecopy: MemoryService = async (guest, call) => {
  const stream = await collect(call.stdin);
  call.stdout(
    await receive(stream, guest.filesOf(USERS.user!.uid), `/home/user/QubesIncoming/${call.source}`),
  );
  return 0;
};

/** The proxy through which templates fetch updates. */
const updatesProxy: MemoryService = async (guest, call) => {
  const request = Buffer.from(await collect(call.stdin)).toString('utf8');
  const answer = (await guest.outside?.answerUpdates(guest.name, request)) ?? '';
  call.stdout(Buffer.from(answer));
  return answer === '' ? 1 : 0;
};

export const SERVICES: Readonly<Record<string, MemoryService>> = {
  'qmcp.exec.Run': named(execRun),
  'qmcp.exec.Output': named(execOutput),
  'qmcp.exec.Stop': named(execStop),
  'qmcp.exec.FileRead': named(fileRead),
  'qmcp.exec.FileWrite': named(fileWrite),
  'qmcp.exec.FileList': named(fileList),
  'qmcp.exec.FileCopy': named(fileCopy),
  'qmcp.exec.PackageInstall': named(packageInstall),
  'qmcp.plan.Approved': named(planApproved, (argument) => argument.split('+')[0]!),
  'qubes.Filecopy': filecopy,
  'qubes.UpdatesProxy': updatesProxy,
  'qubes.VMShell': shell(),
  'qubes.VMRootShell': shell('root'),
};

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
