/** `qubes.Filecopy`: both ends of the platform's stream of files between qubes. */
import { crc32 } from 'node:zlib';
import type { IFileSystem } from 'just-bash';

/** namelen, mode, filelen, atime, atime_nsec, mtime, mtime_nsec; little endian, as on every Qubes machine. */
const HEADER = 32;
const REGULAR = 0o100000;
const DIRECTORY = 0o040000;
const TYPE = 0o170000;
const MAX_PATH = 4096;

/** The reply of the receiving end: errno, and the CRC of all bytes it read. */
const EINVAL = 22;
const EEXIST = 17;

export interface CopyRequest {
  readonly path: string;
  readonly mode: number;
  /** A directory has no content. */
  readonly data?: Uint8Array;
}

/** The stream for these files; a directory comes before its content. */
export function pack(files: readonly CopyRequest[]): Uint8Array {
  const parts = files.flatMap(({ path, mode, data }) => {
    const name = Buffer.concat([Buffer.from(path), Buffer.from([0])]);
    const kind = data === undefined ? DIRECTORY : REGULAR;
    return [header(name.length, kind | mode, data?.length ?? 0), name, data ?? new Uint8Array()];
  });
  return Buffer.concat([...parts, header(0, 0, 0)]);
}

function header(nameLength: number, mode: number, length: number): Buffer {
  const bytes = Buffer.alloc(HEADER);
  bytes.writeUInt32LE(nameLength, 0);
  bytes.writeUInt32LE(mode, 4);
  bytes.writeBigUInt64LE(BigInt(length), 8);
  return bytes;
}

type Files = Pick<IFileSystem, 'mkdir' | 'exists' | 'writeFile' | 'chmod'>;

/** Writes the files of a stream under `directory`, and never outside it. Returns the reply for the sender. */
export async function receive(stream: Uint8Array, fs: Files, directory: string): Promise<Uint8Array> {
  const bytes = Buffer.from(stream.buffer, stream.byteOffset, stream.length);
  let at = 0;
  let lastName = '';
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new MalformedStream(EINVAL);
    at += length;
    return bytes.subarray(at - length, at);
  };
  try {
    await fs.mkdir(directory, { recursive: true });
    for (;;) {
      const head = take(HEADER);
      const nameLength = head.readUInt32LE(0);
      if (nameLength === 0) break;
      if (nameLength > MAX_PATH) throw new MalformedStream(EINVAL);
      lastName = safe(take(nameLength).toString('utf8').replace(/\0$/, ''));
      const mode = head.readUInt32LE(4);
      const data = take(Number(head.readBigUInt64LE(8)));
      await put(fs, `${directory}/${lastName}`, mode, data);
    }
    return answer(0, bytes.subarray(0, at), lastName);
  } catch (error) {
    if (error instanceof MalformedStream) return answer(error.errno, bytes.subarray(0, at), lastName);
    throw error;
  }
}

class MalformedStream extends Error {
  constructor(readonly errno: number) {
    super(`errno ${errno}`);
  }
}

function safe(path: string): string {
  const steps = path.split('/');
  if (steps.some((step) => step === '' || step === '.' || step === '..')) throw new MalformedStream(EINVAL);
  return path;
}

async function put(fs: Files, path: string, mode: number, data: Uint8Array): Promise<void> {
  if ((mode & TYPE) === DIRECTORY) {
    await fs.mkdir(path, { recursive: true });
    return;
  }
  if ((mode & TYPE) !== REGULAR) throw new MalformedStream(EINVAL);
  if (await fs.exists(path)) throw new MalformedStream(EEXIST);
  await fs.writeFile(path, data);
  await fs.chmod(path, mode & 0o7777);
}

function answer(errno: number, read: Uint8Array, lastName: string): Uint8Array {
  const name = Buffer.concat([Buffer.from(lastName), Buffer.from([0])]);
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32LE(errno, 0);
  bytes.writeBigUInt64LE(BigInt(crc32(read)), 8);
  bytes.writeUInt32LE(name.length, 16);
  return Buffer.concat([bytes, name]);
}

/** The errno in the other end's reply, or undefined if the reply is malformed. */
export function outcomeOf(reply: Uint8Array): number | undefined {
  return reply.length < 16 ? undefined : Buffer.from(reply).readUInt32LE(0);
}
