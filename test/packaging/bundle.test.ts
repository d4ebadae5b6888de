import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tarOf } from '../../cli/commands/bundle.js';
import { packageFile } from '../../sim/root.js';
import { run, runPython } from '../../testing/run.js';
import { QMCP, qmcp } from '../support/qmcp.js';
import { bundled, Dom0, filesOf, HOME, rebundled, sha256 } from './dom0.js';

const folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
let bundle: Buffer;
beforeAll(async () => {
  bundle = await bundled(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a bundle', () => {
  test('a bundle has the same bytes when another copy of the same sources makes it at another time', async () => {
    const copy = join(folder, 'copy');
    for (const part of ['dom0', 'dist', 'config', 'package.json', 'cli/qmcp.js'])
      cpSync(packageFile(part), join(copy, part), { recursive: true });
    symlinkSync(packageFile('node_modules'), join(copy, 'node_modules'));
    utimesSync(join(copy, 'dom0/qmcpd/kernel.py'), 1, 1);
    // Files of a checkout that do not belong in dom0.
    mkdirSync(join(copy, 'dom0/qmcpd/__pycache__'), { recursive: true });
    for (const stray of ['qmcpd/__pycache__/kernel.pyc', 'qmcpd/kernel.py~', 'operator/.check.py.swp'])
      writeFileSync(join(copy, 'dom0', stray), 'stray');
    const made = await run(process.execPath, [
      join(copy, 'cli/qmcp.js'),
      'bundle',
      '-o',
      join(folder, 'other.tar'),
    ]);
    expect(made).toMatchObject({ code: 0, err: '' });
    expect(made.out.split(' ')[0]).toBe(sha256(bundle));
    expect(readFileSync(join(folder, 'other.tar')).equals(bundle)).toBe(true);
  });

  test('a bundle is a tar of plain files, owned by root, without times', async () => {
    const { out, err } = await run('tar', ['--numeric-owner', '--utc', '-tvf', join(folder, 'qmcp.tar')]);
    expect(err).toBe('');
    const listed = out.trimEnd().split('\n');
    expect(listed.map((line) => line.split(/\s+/).at(-1))).toEqual([...filesOf(bundle).keys()]);
    for (const line of listed) expect(line).toMatch(/^-rw(-r--r--|xr-xr-x) 0\/0 +\d+ 1970-01-01 00:00 /);
    const target = join(folder, 'unpacked');
    mkdirSync(target);
    expect(await run('tar', ['-C', target, '-xf', join(folder, 'qmcp.tar')])).toMatchObject({
      code: 0,
      err: '',
    });
    for (const [path, data] of filesOf(bundle))
      expect(readFileSync(join(target, path)).equals(data), path).toBe(true);
  });

  test('a bundle has the code of dom0 as it is here, and the committed contracts', () => {
    const files = filesOf(bundle);
    for (const [path, data] of files) {
      const source = path.startsWith('etc/qmcp/contracts/')
        ? path.replace('etc/qmcp/contracts', 'dom0/contracts')
        : path.startsWith(`${HOME}/`)
          ? path.replace(HOME, 'dom0')
          : undefined;
      if (source === undefined || path === `${HOME}/version.json`) continue;
      expect(readFileSync(packageFile(source)).equals(data), path).toBe(true);
    }
    expect(files.size).toBeGreaterThan(70);
    expect(JSON.parse(files.get(`${HOME}/version.json`)!.toString()).version).toBe(
      JSON.parse(readFileSync(packageFile('package.json'), 'utf8')).version,
    );
  });

  test('a bundle lacks no file of the folders of dom0’s code', () => {
    const elsewhere = /^packaging\/(systemd|sysusers|tmpfiles|formats)|^policy\/30-qmcp\.policy$|__pycache__/;
    const code = ['qmcpd', 'settings', 'spec', 'operator', 'policy', 'packaging'].flatMap((part) =>
      readdirSync(packageFile('dom0', part), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => relative(packageFile('dom0'), join(parentPath, name))),
    );
    const files = filesOf(bundle);
    for (const file of code.filter((each) => !elsewhere.test(each)))
      expect(files.has(`${HOME}/${file}`), file).toBe(true);
    expect(code.length).toBeGreaterThan(40);
  });

  test('a bundle goes to standard output, and its digest beside it', async () => {
    const { out, err } = await run('sh', ['-c', `node ${QMCP} bundle > ${folder}/piped.tar`]);
    expect(out).toBe('');
    expect(err.split(' ')[0]).toBe(sha256(bundle));
    expect(readFileSync(join(folder, 'piped.tar')).equals(bundle)).toBe(true);
  });

  test('a bundle has the contracts of the plugins that the configuration names, also of third parties, and no others', async () => {
    const here = join(folder, 'mine');
    mkdirSync(here);
    writeFileSync(
      join(here, 'mine.mjs'),
      `import { definePlugin, defineHostService, step, Type } from ${JSON.stringify(pathToFileURL(packageFile('dist/core/api/index.js')).href)};
       const Nothing = Type.Object({}, { additionalProperties: false });
       const look = defineHostService('qmcp.mine.Look', { effect: 'read', params: Nothing, invariants: [],
         steps: [step.list({})], reply: Nothing });
       export default definePlugin({ id: 'mine', apiVersion: 1, title: 'Mine', services: [look], tools: [] });`,
    );
    writeFileSync(join(here, 'qmcp.config.json'), JSON.stringify({ plugins: ['storage', './mine.mjs'] }));
    const contracts = [...filesOf(await bundled(here)).keys()].filter((path) => path.startsWith('etc/'));
    expect(contracts).toEqual(
      ['qmcp.mine.Look', 'qmcp.storage.Budget', 'qmcp.storage.Grow'].map(
        (service) => `etc/qmcp/contracts/${service}.json`,
      ),
    );
    const dom0 = new Dom0();
    expect(await dom0.install(readFileSync(join(here, 'qmcp.tar')))).toMatchObject({ code: 0, err: '' });
    expect(dom0.tree()).toHaveProperty(['etc/qubes-rpc/qmcp.mine.Look']);
    expect(dom0.tree()).not.toHaveProperty(['etc/qubes-rpc/qmcp.inspect.List']);
    dom0.remove();
  });

  test('a bundle with an unusable plugin is not made, and nothing is written', async () => {
    const here = join(folder, 'broken');
    mkdirSync(here);
    writeFileSync(join(here, 'qmcp.config.json'), JSON.stringify({ plugins: ['inspect', './gone.mjs'] }));
    const { code, stderr } = await qmcp(['bundle', '-o', 'qmcp.tar'], { cwd: here });
    expect(code).toBe(1);
    expect(stderr).toContain('gone.mjs');
    expect(() => readFileSync(join(here, 'qmcp.tar'))).toThrow(/ENOENT/);
  });
});

/** An entry of a tar with any header; its checksum is right. */
function entry(
  change: (header: Buffer) => void,
  data = Buffer.alloc(0),
  path = `${HOME}/qmcpd/more.py`,
): Buffer {
  const header = Buffer.from(tarOf(new Map([[path, data]])).subarray(0, 512));
  change(header);
  header.write('        ', 148, 'latin1');
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header, data, Buffer.alloc(-data.length & 511)]);
}

/** The bundle with one more entry in its place; the entries before and after stay in order. */
function withEntry(added: Buffer): Buffer {
  const name = added.toString('latin1', 0, 100).replace(/\0.*/s, '');
  const files = [...filesOf(bundle)];
  const before = tarOf(new Map(files.filter(([path]) => path <= name)));
  const after = tarOf(new Map(files.filter(([path]) => path > name)));
  return Buffer.concat([before.subarray(0, -1024), added, after]);
}

const named = (path: string): Buffer =>
  withEntry(entry((header) => header.fill(0, 0, 100).write(path, 'latin1'), Buffer.from('x\n')));
const typed = (type: string, link = ''): Buffer =>
  withEntry(
    entry((header) => {
      header.write(type, 156, 'latin1');
      header.write(link, 157, 'latin1');
    }),
  );
const field = (at: number, text: string): Buffer =>
  withEntry(entry((header) => header.write(text, at, 'latin1')));

const HOSTILE: readonly (readonly [what: string, make: () => Buffer])[] = [
  ['a path upwards', () => named(`${HOME}/qmcpd/../../../../etc/shadow`)],
  ['a path from the root', () => named('/etc/shadow')],
  ['a path with a dot', () => named(`./${HOME}/qmcpd/more.py`)],
  ['a file of sudo', () => named('etc/sudoers.d/qmcp')],
  ['a policy of its own', () => named('etc/qubes/policy.d/10-qmcp.policy')],
  ['a service of dom0', () => named('etc/qubes-rpc/qmcp.inspect.List')],
  ['the operator’s qmcp.toml', () => named('etc/qmcp/qmcp.toml')],
  ['a contract that is no contract’s name', () => named('etc/qmcp/contracts/qmcp.x.json')],
  ['a unit that is not ours', () => named('usr/lib/systemd/system/sshd.service')],
  ['more for a unit', () => named('usr/lib/systemd/system/qmcpd.service.d/more.conf')],
  ['a module that hides one of Python’s', () => named(`${HOME}/json.py`)],
  ['compiled code', () => named(`${HOME}/qmcpd/__pycache__/kernel.cpython-313.pyc`)],
  ['what says what is installed', () => named(`${HOME}/manifest.json`)],
  ['what takes a change back', () => named('var/lib/qmcp/install.undo')],
  ['a name in capitals', () => named(`${HOME}/qmcpd/MORE.py`)],
  ['a name that moves the cursor', () => named(`${HOME}/qmcpd/\x1b[2J.py`)],
  ['a name with a line in it', () => named(`${HOME}/qmcpd/a\n.py`)],
  ['a symbolic link', () => typed('2', '/etc')],
  ['a hard link', () => typed('1', `${HOME}/qmcpd/kernel.py`)],
  ['a character device', () => typed('3')],
  ['a block device', () => typed('4')],
  ['a folder', () => typed('5')],
  ['a fifo', () => typed('6')],
  ['a header of pax', () => typed('x')],
  ['a global header of pax', () => typed('g')],
  ['a long name of GNU', () => typed('L')],
  ['a sparse file', () => typed('S')],
  ['a file of an old kind', () => typed('\0')],
  ['a setuid file', () => field(100, '0004755')],
  ['a file anybody writes', () => field(100, '0000666')],
  ['a command more', () => field(100, '0000755')],
  ['somebody’s file', () => field(108, '0001750')],
  ['a file of somebody’s name', () => field(265, 'user')],
  ['a file of a time', () => field(136, '00000000001')],
  ['half a name elsewhere', () => field(345, 'etc')],
  ['a target that is not one', () => field(157, '/etc/shadow')],
  ['a size in another spelling', () => field(124, '+0000000000')],
  ['a size in binary', () => field(124, '\x80\0\0\0\0\0\0\0\0\0\0')],
  ['a size beyond its end', () => field(124, '77777777777')],
  ['a file twice', () => withEntry(entry(() => {}, Buffer.from('pass\n'), `${HOME}/qmcpd/kernel.py`))],
  ['a file out of order', () => Buffer.concat([entry(() => {}), bundle])],
  [
    'something behind the end of a file',
    () => {
      const hidden = Buffer.from(bundle);
      hidden[512 + filesOf(bundle).values().next().value!.length] = 1;
      return hidden;
    },
  ],
  ['something after its end', () => Buffer.concat([bundle, Buffer.alloc(512)])],
  ['a second archive after its end', () => Buffer.concat([bundle, bundle])],
  ['half of it', () => bundle.subarray(0, Math.floor(bundle.length / 2))],
  ['all but its end', () => bundle.subarray(0, -512)],
  ['nothing', () => Buffer.alloc(0)],
  ['nothing but an end', () => Buffer.alloc(1024)],
  ['no tar', () => Buffer.from('#!/bin/sh\n')],
  ['a compressed one', () => gzipSync(bundle)],
  ['no daemon', () => rebundled(bundle, { [`${HOME}/qmcpd/__main__.py`]: undefined })],
  ['no installer', () => rebundled(bundle, { [`${HOME}/packaging/qmcp-dom0`]: undefined })],
  [
    'more than dom0 reads',
    () => rebundled(bundle, { [`${HOME}/qmcpd/more.py`]: ' '.repeat(8 * 1024 * 1024) }),
  ],
];

interface Tried {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly changed: boolean;
}

describe('from a bundle made to harm dom0', () => {
  const dom0 = new Dom0();
  const before = dom0.tree();
  const tried = new Map<string, Tried>();
  beforeAll(async () => {
    const files = HOSTILE.map(([, make], index) => {
      const file = join(dom0.folder, `${index}.tar`);
      writeFileSync(file, make());
      return file;
    });
    const { out } = await runPython(['-B', packageFile('test/packaging/each.py'), dom0.root, ...files]);
    const found = JSON.parse(out) as Tried[];
    HOSTILE.forEach(([what], index) => {
      tried.set(what, found[index]!);
    });
  });
  afterAll(() => dom0.remove());

  test.each(HOSTILE.map(([what]) => what))('a harmful bundle installs nothing: %s', (what) => {
    const { code, out, err, changed } = tried.get(what)!;
    expect(err).toMatch(/^qmcp-dom0: this is not a bundle of qmcp: [ -~]+ Nothing was changed\.\n$/);
    expect({ code, out, changed }).toEqual({ code: 1, out: '', changed: false });
  });

  test('the harmful bundles left no file', () => {
    expect(tried.size).toBe(HOSTILE.length);
    expect(dom0.tree()).toEqual(before);
  });

  test('the bundle from which the harmful ones are made is readable: with one more file, in its place, it installs', async () => {
    const { code, out } = await dom0.run(
      'install',
      dom0.fetched(withEntry(entry(() => {}, Buffer.from('x = 1\n')))),
    );
    expect(code).toBe(1);
    expect(out).toContain(`new      ${HOME}/qmcpd/more.py +1 -0`);
    expect(dom0.tree()).toEqual(before);
  });
});
