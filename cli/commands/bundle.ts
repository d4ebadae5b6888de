/**
 * Builds the archive that dom0 installs. The same sources and plugins give the same bytes everywhere, so that two people
 * who build it independently can compare digests. Only `dom0/packaging/qmcp-dom0` reads it.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { contractOf } from '../../core/boot/contract.js';
import { configuration, configuredPlugins } from '../../core/main.js';
import { VERSION } from '../../core/version.js';
import { PACKAGE } from '../shipped/package.js';

const DOM0 = join(PACKAGE, 'dom0');
const HOME = 'usr/lib/qmcp';
const UNITS = 'usr/lib/systemd/system';

/** Which files of each folder of `dom0/` are installed, and where. Other files of a checkout do not belong in dom0. */
const FOLDERS: readonly (readonly [folder: string, files: RegExp, to: string])[] = [
  ['qmcpd', /\.py$/, `${HOME}/qmcpd`],
  ['settings', /\.py$/, `${HOME}/settings`],
  ['spec', /\.(py|toml)$/, `${HOME}/spec`],
  ['spec/shapes', /\.json$/, `${HOME}/spec/shapes`],
  ['operator', /\.(py|toml|template)$|^qmcp-admin$/, `${HOME}/operator`],
  ['policy', /\.(py|toml)$/, `${HOME}/policy`],
  ['window', /\.(py|css)$|^qmcp-window$/, `${HOME}/window`],
  ['packaging', /\.py$|^qmcp-dom0$/, `${HOME}/packaging`],
  ['packaging/systemd', /^qmcp.*\.(service|socket|timer|path)$/, UNITS],
];
const PROGRAMS: ReadonlySet<string> = new Set(
  ['operator/qmcp-admin', 'packaging/qmcp-dom0', 'window/qmcp-window'].map((file) => `${HOME}/${file}`),
);
const FILES: readonly (readonly [file: string, to: string])[] = [
  ['README.md', `${HOME}/README.md`],
  ['qmcp.toml', `${HOME}/qmcp.toml`],
  ['packaging/sysusers.conf', 'usr/lib/sysusers.d/qmcp.conf'],
  ['window/qmcp-window.desktop', 'usr/share/applications/qmcp-window.desktop'],
  ['packaging/tmpfiles.conf', 'usr/lib/tmpfiles.d/qmcp.conf'],
];

export interface BundleFlags {
  readonly config?: string;
  readonly output?: string;
}

export async function bundle({ config, output }: BundleFlags): Promise<void> {
  if (output === undefined && process.stdout.isTTY)
    throw new Error('the archive is not written to a terminal; name a file with -o FILE');
  const plugins = await configuredPlugins(await configuration({ flags: {}, file: config }));
  const files = new Map(await code());
  for (const plugin of plugins)
    for (const service of plugin.services)
      files.set(`etc/qmcp/contracts/${service.name}.json`, json(contractOf(plugin, service)));
  const archive = tarOf(files);
  if (output !== undefined) await writeFile(output, archive);
  else process.stdout.write(archive);
  // Printed separately, never inside the archive. dom0 must not trust this line: there, compute the digest with sha256sum.
  const digest = createHash('sha256').update(archive).digest('hex');
  const summary = `${digest}  ${output ?? '-'} (qmcp ${VERSION}: ${plugins.map(({ id }) => id).join(' ')})\n`;
  (output === undefined ? process.stderr : process.stdout).write(summary);
}

async function code(): Promise<[string, Buffer][]> {
  const paths = await Promise.all(
    FOLDERS.map(async ([folder, pattern, to]) =>
      (await readdir(join(DOM0, folder)))
        .filter((name) => pattern.test(name))
        .map((name) => [join(folder, name), `${to}/${basename(name)}`] as const),
    ),
  );
  const read = [...paths.flat(), ...FILES].map(
    async ([file, to]): Promise<[string, Buffer]> => [to, await readFile(join(DOM0, file))],
  );
  const formats = JSON.parse(await readFile(join(DOM0, 'packaging/formats.json'), 'utf8'));
  return [[`${HOME}/version.json`, json({ version: VERSION, formats })], ...(await Promise.all(read))];
}

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

/** A tar of plain files sorted by path, with fixed times and owners, so that only paths and contents affect the bytes. */
export function tarOf(files: ReadonlyMap<string, Buffer>): Buffer {
  const blocks: Buffer[] = [];
  for (const path of [...files.keys()].sort()) {
    const data = files.get(path)!;
    blocks.push(header(path, data.length), data, Buffer.alloc(-data.length & 511));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function header(path: string, size: number): Buffer {
  if (path.length > 99) throw new Error(`${path}: expected a path of at most 99 characters`);
  const executable = PROGRAMS.has(path);
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, digits: number) =>
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  block.write(path, 0, 'latin1');
  octal(executable ? 0o755 : 0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(0, 136, 11);
  block.write('        0', 148, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write('root', 265, 'latin1');
  block.write('root', 297, 'latin1');
  octal(0, 329, 7);
  octal(0, 337, 7);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  block.write('\0 ', 154, 'latin1');
  return block;
}
