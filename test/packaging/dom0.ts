import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { tarOf } from '../../cli/commands/bundle.js';
import { packageFile } from '../../sim/root.js';
import { qmcpAdmin } from '../../testing/operator.js';
import { type ProcessResult, run, runPython } from '../../testing/run.js';
import { qmcp } from '../support/qmcp.js';

export const INSTALLER = packageFile('dom0/packaging/qmcp-dom0');
export const HOME = 'usr/lib/qmcp';
export const POLICY = 'etc/qubes/policy.d/30-qmcp.policy';
export const TOML = 'etc/qmcp/qmcp.toml';

export type Files = Map<string, Buffer>;

/** Runs `qmcp bundle` in that folder, with the configuration there. */
export async function bundled(folder: string, ...words: string[]): Promise<Buffer> {
  const file = join(folder, 'qmcp.tar');
  // The command does not see the environment variables of the tests.
  const env = Object.fromEntries(
    Object.keys(process.env).flatMap((name) => (name.startsWith('QMCP_') ? [[name, undefined]] : [])),
  );
  const { code, stderr } = await qmcp(['bundle', '-o', file, ...words], { cwd: folder, env });
  if (code !== 0) throw new Error(stderr);
  return readFileSync(file);
}

let checkout: Promise<Buffer> | undefined;

/** The bundle of this checkout: its bytes are always the same, so it is made once. */
export function bundleOfCheckout(): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
  checkout ??= bundled(folder);
  return checkout.finally(() => rmSync(folder, { recursive: true }));
}

/** The files of a bundle: sizes are at offset 124, in octal. */
export function filesOf(bundle: Buffer): Files {
  const files: Files = new Map();
  for (let at = 0; bundle[at] !== 0; ) {
    const name = bundle.toString('latin1', at, at + 100).replace(/\0.*/s, '');
    const size = Number.parseInt(bundle.toString('latin1', at + 124, at + 135), 8);
    files.set(name, bundle.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** A changed copy of this bundle: a value of undefined removes a file. */
export function rebundled(bundle: Buffer, changes: Record<string, string | undefined>): Buffer {
  const files = filesOf(bundle);
  for (const [path, text] of Object.entries(changes))
    if (text === undefined) files.delete(path);
    else files.set(path, Buffer.from(text));
  return tarOf(files);
}

export const textOf = (bundle: Buffer, path: string): string => filesOf(bundle).get(path)!.toString();

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Every path below a folder, with its content: a folder, a link's target, or mode and digest. */
export function tree(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
    const status = lstatSync(join(root, entry));
    if (status.isDirectory()) found[entry] = 'folder';
    else if (status.isSymbolicLink()) found[entry] = `-> ${readlinkSync(join(root, entry))}`;
    else if (status.isFile())
      found[entry] = `${(status.mode & 0o7777).toString(8)} ${sha256(readFileSync(join(root, entry)))}`;
  }
  return found;
}

/** The root of a new Qubes dom0 as far as an installer sees it, with the installer. */
export class Dom0 {
  readonly folder = mkdtempSync(join(tmpdir(), 'qmcp-dom0-'));
  readonly root = join(this.folder, 'root');

  constructor() {
    for (const path of ['usr/bin/qubes-prefs', 'usr/lib/systemd/system/qubesd.service'])
      this.write(path, 'the platform’s\n');
    this.write('etc/qubes-rpc/qubes.GetDate', '#!/bin/sh\ndate\n');
    chmodSync(join(this.root, 'etc/qubes-rpc/qubes.GetDate'), 0o775);
    mkdirSync(join(this.root, 'etc/qubes/policy.d'), { recursive: true });
    copyFileSync(
      packageFile('sim/policy/90-default.policy'),
      join(this.root, 'etc/qubes/policy.d/90-default.policy'),
    );
    for (const path of ['var/lib', 'var/log', 'run']) mkdirSync(join(this.root, path), { recursive: true });
  }

  /** A copy of the other root, file for file. */
  async becomes(other: Dom0): Promise<void> {
    rmSync(this.root, { recursive: true });
    await run('cp', ['-a', other.root, this.root]);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  tree(): Record<string, string> {
    return tree(this.root);
  }

  /** The installer `qmcp-dom0 --root ROOT …`, without a terminal. */
  run(...words: string[]): Promise<ProcessResult> {
    return runPython(['-IB', INSTALLER, '--root', this.root, ...words]);
  }

  /** A contract of another plugin, installed by the operator; the text is that of a contract of `inspect`. */
  async operatorInstalls(service: string, text: string): Promise<void> {
    const file = join(this.folder, `${service}.json`);
    const contract = { ...JSON.parse(text), service, plugin: service.split('.')[1] };
    writeFileSync(file, JSON.stringify(contract));
    for (const words of [
      ['contract', 'install', file],
      ['policy', 'install'],
    ]) {
      const { code, err } = await qmcpAdmin(this.root, ...words, '--yes');
      if (code !== 0) throw new Error(err);
    }
  }

  /** The path of this bundle for the installer. */
  fetched(bundle: Buffer): string {
    const file = join(this.folder, 'fetched.tar');
    writeFileSync(file, bundle);
    return file;
  }

  /** Installs it, as an operator who has its digest from elsewhere. */
  install(bundle: Buffer): Promise<ProcessResult> {
    return this.run('install', this.fetched(bundle), '--sha256', sha256(bundle), '--yes');
  }
}

const installed = new Map<string, Promise<Dom0>>();

/** A dom0 in which this bundle is installed: made once, then copied. */
export async function dom0With(bundle: Buffer): Promise<Dom0> {
  const digest = sha256(bundle);
  const first = installed.get(digest) ?? installIn(new Dom0(), bundle);
  installed.set(digest, first);
  const dom0 = new Dom0();
  await dom0.becomes(await first);
  return dom0;
}

async function installIn(dom0: Dom0, bundle: Buffer): Promise<Dom0> {
  const { code, err } = await dom0.install(bundle);
  if (code !== 0 || err !== '') throw new Error(`it cannot be installed: ${err}`);
  return dom0;
}

/** Deletes them after a file of tests. */
export async function forgetInstalled(): Promise<void> {
  for (const dom0 of installed.values()) (await dom0).remove();
  installed.clear();
}
