/** One qrexec call, as whoever makes it describes it. */
export interface QrexecRequest {
  /** The name of a qube, or `@adminvm`. */
  readonly target: string;
  readonly service: string;
  readonly stdin: Uint8Array;
  /** The callee's input does not end with `stdin`: its end is how the callee learns that the caller has gone. */
  readonly keepStdinOpen?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Seconds until the call is given up; there is always a limit, because the other side may never answer. */
  readonly timeout: number;
  /** Bytes of standard output accepted, kept or streamed; beyond it the call is ended. */
  readonly maxBytes: number;
  /** Given, standard output goes here as it comes, and is not kept. */
  readonly onStdout?: (bytes: Uint8Array) => void;
}

/** How a call ended. `exit` is null unless `ended` is `exit` and the client was not ended by a signal. */
export interface QrexecResult {
  readonly ended: 'exit' | 'timeout' | 'aborted' | 'overflow';
  readonly exit: number | null;
  readonly stdout: Uint8Array;
  /** The first few KiB, for people only. */
  readonly stderr: string;
}

/** The one way out of the control qube. Never rejects: a client that cannot be run is a call that exits 125. */
export interface Qrexec {
  call(request: QrexecRequest): Promise<QrexecResult>;
}
