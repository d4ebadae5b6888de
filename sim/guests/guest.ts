/** A started qube for the rest of the simulation, whatever runs inside it. */

/** One call of a service, from the service's side. */
export interface ServiceCall {
  /** The service's name without the argument. */
  readonly service: string;
  readonly argument: string;
  readonly source: string;
  /** The user the policy names, or the qube's default user. */
  readonly user: string;
  readonly stdin: AsyncIterable<Uint8Array>;
  stdout(bytes: Uint8Array): void;
  stderr(bytes: Uint8Array): void;
  /** Aborted when the caller disconnects: the service sees a closed pipe, and nothing else. */
  readonly signal: AbortSignal;
}

/** The outcome of a command inside a qube. `aborted` if the signal ended it. */
export interface CommandResult {
  readonly exit: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly aborted: boolean;
  /** The signal by which it ended, or null. */
  readonly signal?: string | null;
}

export interface Command {
  /** A line for a shell, or a program and its arguments. */
  readonly command: string | readonly string[];
  readonly user: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Uint8Array;
  readonly signal?: AbortSignal;
  /** If set, gets the output as it arrives, and the output is not stored. */
  readonly onOutput?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void;
}

export interface Guest {
  /** The exit code, or undefined when the qube has no such service. */
  serve(call: ServiceCall): Promise<number | undefined>;
  run(command: Command): Promise<CommandResult>;
  /** Stops the qube and ends everything that runs in it. */
  stop(): Promise<void>;
}

export interface QubeToStart {
  readonly name: string;
  readonly template: string | null;
  readonly class: string;
}

/** Starts the guests of qubes and keeps their disks. */
export interface GuestEngine {
  start(qube: QubeToStart): Promise<Guest>;
  /** A volume's contents were replaced: by another volume's, or (null) by an empty volume. */
  import(
    to: { readonly qube: string; readonly volume: string },
    from: { readonly qube: string; readonly volume: string } | null,
  ): Promise<void>;
  /** The qube was removed, and its disk with it. */
  forget(name: string): void;
}
