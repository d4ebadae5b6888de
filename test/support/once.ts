/** What a whole run of the tests has in common. Vitest calls this once, before it starts the processes that run them. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { ForkServer } from './forks.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The socket of the fork server. */
    forks: string;
  }
}

/** Says that this was called before, for another project of vitest.config.ts, and what came of it. */
const CALLED = '_QMCP_FORKS';

export default async function once(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const before = process.env[CALLED];
  if (before !== undefined) {
    project.provide('forks', before);
    return undefined;
  }
  const folder = process.env.TMPDIR === undefined ? inMemory() : undefined;
  if (folder !== undefined) process.env.TMPDIR = folder;
  const server = await ForkServer.start();
  process.env[CALLED] = server.socket;
  project.provide('forks', server.socket);
  return async () => {
    delete process.env[CALLED];
    await server.stop();
    if (folder === undefined) return;
    delete process.env.TMPDIR;
    rmSync(folder, { recursive: true, force: true });
  };
}

const MEMORY = '/dev/shm';
const NAME = 'qmcp-tests-';
const TMPFS = 0x01021994;
/** Bytes that have to be free: what the tests keep at the same time is a tenth of it. */
const ROOM = 2 ** 30;

/**
 * A folder in memory, where there is room and programs can be run. Simulated hosts are made of many small files, and a disk
 * takes longer to delete those than all the rest takes. Undefined where there is none.
 */
function inMemory(): string | undefined {
  try {
    accessSync(MEMORY, constants.W_OK);
    const { type, bavail, bsize } = statfsSync(MEMORY);
    if (type !== TMPFS || bavail * bsize < ROOM) return undefined;
    removeOld();
    const folder = mkdtempSync(join(MEMORY, `${NAME}${process.pid}-`));
    const program = join(folder, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o700 });
    execFileSync(program);
    return folder;
  } catch {
    return undefined;
  }
}

/** What a run that was killed has left would take memory until the next boot. */
function removeOld(): void {
  for (const name of readdirSync(MEMORY).filter((one) => one.startsWith(NAME))) {
    const [pid] = name.slice(NAME.length).split('-');
    if (!runs(Number(pid))) rmSync(join(MEMORY, name), { recursive: true, force: true });
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
