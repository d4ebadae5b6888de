/** What a started qube is to the rest of the simulation, whatever runs inside it. */

/** One call of a service, seen from the service. */
export interface ServiceCall {
  /** Without the argument. */
  readonly service: string;
  readonly argument: string;
  readonly source: string;
  /** The user the policy names, or the qube's default user. */
  readonly user: string;
  readonly stdin: AsyncIterable<Uint8Array>;
  stdout(bytes: Uint8Array): void;
  stderr(bytes: Uint8Array): void;
  /** Aborted when the caller is gone: the service sees a closed pipe, and no more than that. */
  readonly signal: AbortSignal;
}

/** What a command inside a qube came to. `aborted` when the signal cut it off. */
export interface CommandResult {
  readonly exit: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly aborted: boolean;
}

export interface Command {
  /** A line for a shell, or a program and its arguments. */
  readonly command: string | readonly string[];
  readonly user: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Uint8Array;
  readonly signal?: AbortSignal;
  /** Given, output goes here as it comes, and is not kept. */
  readonly onOutput?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void;
}

export interface Guest {
  /** The exit code, or undefined when the qube has no such service. */
  serve(call: ServiceCall): Promise<number | undefined>;
  run(command: Command): Promise<CommandResult>;
  /** The qube stops: whatever runs in it ends. */
  stop(): Promise<void>;
}

export interface QubeToStart {
  readonly name: string;
  readonly template: string | null;
  readonly class: string;
}

/** Makes and keeps the insides of qubes. */
export interface GuestEngine {
  start(qube: QubeToStart): Promise<Guest>;
  /** A volume's contents were replaced: by another volume's, or (null) by nothing. */
  import(
    to: { readonly qube: string; readonly volume: string },
    from: { readonly qube: string; readonly volume: string } | null,
  ): Promise<void>;
  /** The qube is gone for good, and its disk with it. */
  forget(name: string): void;
}
