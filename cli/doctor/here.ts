/** Checks on this side of qrexec. */
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

/** Reports files that look like a configuration but are not read. */
export function executables(directory: string): Finding[] {
  return readdirSync(directory)
    .filter((name) => EXECUTABLE.test(name))
    .map((name) =>
      wrong(
        'config-executable',
        'configuration',
        `${name} is not read, because a configuration is data and is never executed`,
        `Write the settings as qmcp.config.yaml and delete ${name}; config/generated/qmcp.schema.json in the package describes the keys.`,
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
    'In a qube, the package qubes-core-qrexec (or qubes-core-agent) provides it. Elsewhere, use --host sim, or name another client with --client.',
  );
}

/** Reports why there is no catalog from dom0, and how to fix that. */
export function noCatalog(why: string): Finding {
  const fixes: readonly (readonly [why: RegExp, id: string, fix: string])[] = [
    [
      /refused by the qrexec policy/,
      'catalog-denied',
      'In dom0: check that /etc/qmcp/qmcp.toml names this qube as a principal, then run qmcp-admin policy install. If 30-qmcp.policy already allows qmcp.Catalog for this qube, a policy file that sorts earlier denies it; qmcp-admin check names that file.',
    ],
    [
      /nobody answered|could not be called/,
      'catalog-silent',
      'The policy allows the call, but qmcpd is not running. In dom0, run systemctl start qmcpd.socket. systemctl status qmcpd shows why it stopped; qmcp-admin check finds errors in its files.',
    ],
    [
      /gave no answer within/,
      'catalog-late',
      'Either the policy has an "ask" line for qmcp.Catalog and nobody answers the dialog, or qmcpd hangs. In dom0, run systemctl status qmcpd.',
    ],
    [
      /a format this release does not know/,
      'catalog-format',
      'The releases of qmcp here and in dom0 are not compatible. Make a bundle here (qmcp bundle) and install it in dom0.',
    ],
    [
      /the refusal frozen/,
      'frozen',
      'The operator froze this world, so every call is refused. To end this, run in dom0: qmcp-admin thaw.',
    ],
    [
      /answered with the refusal/,
      'catalog-refused',
      'In dom0: name this qube under [world.NAME.principal.…] in /etc/qmcp/qmcp.toml, then run qmcp-admin policy install. qmcp-admin status shows the worlds.',
    ],
  ];
  const [, id, fix] = fixes.find(([pattern]) => pattern.test(why)) ?? [
    /./,
    'catalog-unavailable',
    'In dom0, run qmcp-admin check and journalctl -u qmcpd.',
  ];
  return wrong(id, 'dom0’s catalog', `qmcp.Catalog on @adminvm ${why}`, fix);
}
