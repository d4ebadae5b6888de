import {
  axioms,
  defineGuestService,
  defineHostService,
  defineTargetService,
  LIMITS,
  NoParams,
  QubeName,
  step,
  Type,
} from '../../core/api/index.js';
import { PROBLEMS } from './problems.js';

const { birthClass, ofEveryBirth, policyClosed, selfExcluded } = axioms;

/** Shared by all services that run inside a qube. The policy alone decides who may call them. */
const inside = { capability: 'exec', invariants: [policyClosed], problems: PROBLEMS } as const;

const closed = { additionalProperties: false };
const nullable = <T extends ReturnType<typeof Type.String> | ReturnType<typeof Type.Integer>>(type: T) =>
  Type.Union([type, Type.Null()]);

const Path = Type.String({ minLength: 1, maxLength: LIMITS.path_characters });
const User = Type.Optional(Type.String({ pattern: '^[a-z_][a-z0-9_-]*$', maxLength: 32 }));
const Seconds = Type.Optional(
  Type.Integer({ minimum: 1, maximum: LIMITS.command_seconds, description: 'seconds' }),
);
const At = Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 40 }));

/** How a command ended. */
export const Outcome = {
  /** The exit code, or null when a signal ended the command. */
  exit: nullable(Type.Integer()),
  /** Only the name of a signal: a result shows it as trusted text. */
  signal: nullable(Type.String({ pattern: '^SIG[A-Z0-9]*$', maxLength: 16 })),
  timed_out: Type.Boolean(),
};

/** The name that a qube gives to a background command. */
const JobId = Type.String({ pattern: '^[0-9a-f]*$', minLength: 16, maxLength: 16 });
/** Runs one command in a qube. Frames carry its output; this reply is the last frame. */
export const run = defineGuestService('qmcp.exec.Run', {
  ...inside,
  effect: 'destroy',
  params: Type.Object(
    {
      command: Type.Union([
        Type.String({ minLength: 1, maxLength: 32_768 }),
        Type.Array(Type.String({ maxLength: 32_768 }), { minItems: 1, maxItems: 256 }),
      ]),
      cwd: Type.Optional(Path),
      env: Type.Optional(
        Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), Type.String({ maxLength: 32_768 })),
      ),
      user: User,
      timeout: Seconds,
      background: Type.Optional(Type.Boolean()),
    },
    closed,
  ),
  /** `job` is set if the command goes on in the background. */
  reply: Type.Object({ ...Outcome, job: Type.Optional(JobId) }, closed),
});

/** A page of one stream of a background command, in frames, and the command's state. */
export const output = defineGuestService('qmcp.exec.Output', {
  ...inside,
  effect: 'read',
  params: Type.Object(
    {
      job: JobId,
      stream: Type.Optional(Type.Enum(['stdout', 'stderr'])),
      offset: At,
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.page_bytes })),
      wait: Type.Optional(
        Type.Integer({ minimum: 0, maximum: LIMITS.output_wait_seconds, description: 'seconds' }),
      ),
    },
    closed,
  ),
  reply: Type.Object(
    {
      running: Type.Boolean(),
      ...Outcome,
      /** Bytes of the stream that can be read, and bytes beyond them that were not kept. */
      size: Type.Integer({ minimum: 0 }),
      dropped: Type.Integer({ minimum: 0 }),
    },
    closed,
  ),
});

export const stop = defineGuestService('qmcp.exec.Stop', {
  ...inside,
  effect: 'destroy',
  params: Type.Object({ job: JobId }, closed),
  reply: Type.Object({ running: Type.Boolean(), ...Outcome }, closed),
});

const Mode = Type.String({ pattern: '^[0-7]*$', minLength: 3, maxLength: 4 });

/** A range of a file, in frames. `path` in the reply is the path after links are followed. */
export const fileRead = defineGuestService('qmcp.exec.FileRead', {
  ...inside,
  effect: 'read',
  params: Type.Object(
    {
      path: Path,
      offset: At,
      length: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.page_bytes })),
      user: User,
    },
    closed,
  ),
  reply: Type.Object(
    {
      path: Type.String({ maxLength: 8192 }),
      size: Type.Integer({ minimum: 0 }),
      end: Type.Boolean(),
      mode: Mode,
      mtime: Type.Integer(),
    },
    closed,
  ),
});

/** Exactly `size` bytes must follow the request; otherwise nothing is written. */
export const fileWrite = defineGuestService('qmcp.exec.FileWrite', {
  ...inside,
  effect: 'write',
  params: Type.Object(
    {
      path: Path,
      size: Type.Integer({ minimum: 0, maximum: LIMITS.write_bytes }),
      mode: Type.Optional(Mode),
      offset: At,
      append: Type.Optional(Type.Boolean()),
      parents: Type.Optional(Type.Boolean()),
      user: User,
    },
    closed,
  ),
  reply: Type.Object(
    { path: Type.String({ maxLength: 8192 }), size: Type.Integer({ minimum: 0 }), mode: Mode },
    closed,
  ),
});

/** A page of a directory, ordered by name; each entry is a line of JSON in the frames. */
export const fileList = defineGuestService('qmcp.exec.FileList', {
  ...inside,
  effect: 'read',
  params: Type.Object(
    {
      path: Type.Optional(Path),
      offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.list_entries })),
      user: User,
    },
    closed,
  ),
  reply: Type.Object({ path: Type.String({ maxLength: 8192 }), total: Type.Integer({ minimum: 0 }) }, closed),
});

/** Called on the source qube, which then uses the copy of Qubes OS; the policy decides about that call as well. */
export const fileCopy = defineGuestService('qmcp.exec.FileCopy', {
  ...inside,
  effect: 'write',
  params: Type.Object({ target: QubeName, path: Path, user: User, timeout: Seconds }, closed),
  reply: Type.Object({ ...Outcome, name: Type.String({ maxLength: 512 }) }, closed),
});

export const packageInstall = defineGuestService('qmcp.exec.PackageInstall', {
  ...inside,
  effect: 'write',
  params: Type.Object(
    {
      packages: Type.Array(
        Type.String({
          pattern: '^[A-Za-z0-9]([A-Za-z0-9+._-]*[A-Za-z0-9+])?$',
          maxLength: LIMITS.package_name,
        }),
        { minItems: 1, maxItems: LIMITS.packages },
      ),
      timeout: Seconds,
    },
    closed,
  ),
  reply: Type.Object({ manager: Type.Enum(['apt-get', 'dnf', 'pacman']), ...Outcome }, closed),
});

/** Creates and starts a disposable for one command; it is removed when it is killed. */
export const disposable = defineHostService('qmcp.exec.Disposable', {
  effect: 'write',
  qubes: { template: 'exec' },
  params: Type.Object({ template: QubeName }, closed),
  invariants: [birthClass('DispVM'), ...ofEveryBirth],
  steps: [step.disposable({ template: '$template' })],
  reply: Type.Object({ name: QubeName }, closed),
});

export const killDisposable = defineTargetService('qmcp.exec.Gone', {
  effect: 'destroy',
  capability: 'exec',
  params: NoParams,
  invariants: [selfExcluded],
  steps: [step.power({ qube: '$target', to: 'killed' })],
  reply: NoParams,
});
