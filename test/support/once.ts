/** Resources for a complete run of the tests. Vitest calls this once, before it starts the processes that run them. */
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

/** Tells other projects of vitest.config.ts that this was called before, and with which result. */
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
/** Bytes that must be free: ten times what the tests store at once. */
const ROOM = 2 ** 30;

/**
 * A folder in memory, if there is room and programs can run there. Simulated hosts consist of many small files, whose deletion
 * on a disk takes longer than everything else. Undefined if there is none.
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

/** Files of a killed run would use memory until the next boot. */
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
