/** What can be wrong on this side of qrexec. */
import { readdirSync } from 'node:fs';
import { EXECUTABLE } from '../../core/config/file.js';
import { executable, inPath } from '../host/choose.js';
import { type Finding, fine, wrong } from './finding.js';

const NEEDED_NODE = [20, 18, 1];

export function nodeVersion(here: string = process.versions.node): Finding {
  const parts = here.split('.').map(Number);
  const first = NEEDED_NODE.findIndex((needed, index) => parts[index] !== needed);
  const needed = NEEDED_NODE.join('.');
  return first === -1 || parts[first]! > NEEDED_NODE[first]!
    ? fine('node', 'Node', here)
    : wrong('node-too-old', 'Node', `${here} is too old`, `Install Node ${needed} or later.`);
}

/** Files that look like a configuration and are not read. */
export function executables(directory: string): Finding[] {
  return readdirSync(directory)
    .filter((name) => EXECUTABLE.test(name))
    .map((name) =>
      wrong(
        'config-executable',
        'configuration',
        `${name} is not read: a configuration is data, and never run`,
        `Write it as qmcp.config.yaml and take ${name} away; config/generated/qmcp.schema.json of the package says what it may hold.`,
      ),
    );
}

export function clientFound(client: string, simulated: boolean): Finding {
  const path = client.includes('/') ? (executable(client) ? client : undefined) : inPath(client);
  const what = simulated ? 'qrexec client (simulated host)' : 'qrexec client';
  if (path !== undefined) return fine('client', what, path);
  return wrong(
    'client-missing',
    what,
    `${client} is not an executable here`,
    'In a qube it comes with the package qubes-core-qrexec (or qubes-core-agent). Elsewhere, use --host sim, or name another client with --client.',
  );
}

/** Why dom0 did not say what it enforces, and what to do about that. */
export function noCatalog(why: string): Finding {
  const fixes: readonly (readonly [why: RegExp, id: string, fix: string])[] = [
    [
      /refused by the qrexec policy/,
      'catalog-denied',
      'In dom0: see that /etc/qmcp/qmcp.toml names this qube as a principal, then qmcp-admin policy install. If 30-qmcp.policy allows it qmcp.Catalog already, another policy file that sorts earlier denies it: qmcp-admin check names it.',
    ],
    [
      /nobody answered|could not be called/,
      'catalog-silent',
      'The policy allows it, and qmcpd does not run. In dom0: systemctl start qmcpd.socket; systemctl status qmcpd says why it stopped; qmcp-admin check what is wrong with its files.',
    ],
    [
      /gave no answer within/,
      'catalog-late',
      'Either the operator has made qmcp.Catalog an "ask" line and nobody answers the dialog, or dom0 hangs: see systemctl status qmcpd there.',
    ],
    [
      /a format this release does not know/,
      'catalog-format',
      'qmcp here and in dom0 are of releases that do not belong together. Make a bundle here (qmcp bundle) and install it in dom0.',
    ],
    [
      /the refusal frozen/,
      'frozen',
      'The operator stopped this world: every call is refused. In dom0, when that is over: qmcp-admin thaw.',
    ],
    [
      /answered with the refusal/,
      'catalog-refused',
      'In dom0: name this qube under [world.NAME.principal.…] in /etc/qmcp/qmcp.toml, then qmcp-admin policy install; qmcp-admin status shows the worlds.',
    ],
  ];
  const [, id, fix] = fixes.find(([pattern]) => pattern.test(why)) ?? [
    /./,
    'catalog-unavailable',
    'In dom0: qmcp-admin check, and journalctl -u qmcpd.',
  ];
  return wrong(id, 'dom0’s catalog', `qmcp.Catalog on @adminvm ${why}`, fix);
}
