import {
  invalidAt,
  LIMITS,
  type Port,
  Refused,
  refuseLoneSurrogates,
  type Static,
  type ToolContext,
  visible,
} from '../../core/api/index.js';
import {
  BoundedBuffer,
  base64,
  completeLength,
  contentOf,
  type Encoding,
  fromBase64,
  isText,
} from './bytes.js';
import type { fileList, fileRead, fileWrite } from './services.js';

/** Bytes of a page by default: as much as a model reads at once. */
export const PAGE = 32_768;
/** Bytes of a page of a directory. */
const MAX_LISTING = 4 << 20;

interface FileAddress {
  qube: string;
  path: string;
  user?: string;
}

export interface ReadInput extends FileAddress {
  offset?: number;
  length?: number;
  encoding?: Static<typeof Encoding>;
}

export async function readFile(
  { read }: { read: Port<typeof fileRead> },
  { qube, offset = 0, length: asked = PAGE, encoding, ...where }: ReadInput,
  { signal }: ToolContext,
) {
  const length = Math.min(Math.max(asked, 1), LIMITS.page_bytes);
  const bytes = new BoundedBuffer(length);
  const io = { signal, onOutput: (_stream: string, piece: Uint8Array) => bytes.add(piece) };
  const { path, size, end, mode, mtime } = await read(qube, { ...where, offset, length }, io);
  if (bytes.overflow) throw new Refused('failed');
  const page = bytes.all();
  const complete = end || encoding === 'base64' ? page.length : completeLength(page);
  const text = encoding ?? (isText(page.subarray(0, complete)) ? 'text' : 'base64');
  const taken = text === 'text' ? page.subarray(0, complete) : page;
  const next = offset + taken.length;
  return {
    path: visible(path),
    size,
    mode,
    mtime,
    ...contentOf(taken, text),
    next: end && taken.length === page.length ? null : next,
    untrusted: ['path', 'content'],
  };
}

export interface WriteInput extends FileAddress {
  content: string;
  encoding?: Static<typeof Encoding>;
  mode?: string;
  offset?: number;
  append?: boolean;
  parents?: boolean;
}

export async function writeFile(
  { write }: { write: Port<typeof fileWrite> },
  { qube, content, encoding, ...params }: WriteInput,
  { signal }: ToolContext,
) {
  refuseLoneSurrogates('/content', content);
  const bytes = encoding === 'base64' ? fromBase64(content) : new TextEncoder().encode(content);
  if (bytes === undefined) throw invalidAt('/content', 'must be base64');
  if (bytes.length > LIMITS.write_bytes)
    throw invalidAt('/content', `must not have more than ${LIMITS.write_bytes} bytes`);
  if (params.append && params.offset !== undefined)
    throw invalidAt('/offset', 'must be absent if append is true');
  const { path, size } = await write(qube, { ...params, size: bytes.length }, { signal, stdin: bytes });
  return { path: visible(path), size, untrusted: ['path'] };
}

interface ListInput extends Partial<FileAddress> {
  qube: string;
  offset?: number;
  limit?: number;
}

export async function listFiles(
  { list }: { list: Port<typeof fileList> },
  { qube, offset = 0, limit: asked = LIMITS.default_list_entries, ...where }: ListInput,
  { signal }: ToolContext,
) {
  const limit = Math.min(Math.max(asked, 1), LIMITS.list_entries);
  const bytes = new BoundedBuffer(MAX_LISTING);
  const io = { signal, onOutput: (_stream: string, piece: Uint8Array) => bytes.add(piece) };
  const { path, total } = await list(qube, { ...where, offset, limit }, io);
  const lines = new TextDecoder().decode(bytes.all()).split('\n').slice(0, -1);
  if (bytes.overflow || lines.length > limit) throw new Refused('failed');
  const next = offset + limit;
  return {
    path: visible(path),
    entries: lines.map(entryOf),
    total,
    next: next < total ? next : null,
    untrusted: ['path', 'entries'],
  };
}

const TYPES = ['file', 'directory', 'link', 'other'] as const;

function entryOf(untrusted_line: string) {
  const { name, type, size, mode, mtime, target } = parseEntry(untrusted_line);
  const entryType = TYPES.find((one) => one === type);
  const numbers = Number.isSafeInteger(size) && Number.isSafeInteger(mtime);
  if (
    typeof name !== 'string' ||
    entryType === undefined ||
    !numbers ||
    typeof mode !== 'string' ||
    !/^[0-7]{3,4}$/.test(mode)
  )
    throw new Refused('failed');
  const shown = visible(name);
  return {
    name: shown,
    ...(shown !== name && { name_base64: base64(bytesOfName(name)) }),
    type: entryType,
    size: size as number,
    mode,
    mtime: mtime as number,
    ...(typeof target === 'string' && { target: visible(target) }),
  };
}

function parseEntry(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {}
  throw new Refused('failed');
}

/** The bytes of a name in the qube. A lone surrogate from U+DC80 on stands for a byte that is not valid UTF-8. */
function bytesOfName(name: string): Uint8Array {
  const pieces = name
    .split(/([\udc80-\udcff])/u)
    .map((piece) =>
      /^[\udc80-\udcff]$/u.test(piece)
        ? Uint8Array.of(piece.charCodeAt(0) - 0xdc00)
        : new TextEncoder().encode(piece),
    );
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
