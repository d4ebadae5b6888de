/** A request for one qrexec call. */
export interface QrexecRequest {
  /** The name of a qube, or `@adminvm`. */
  readonly target: string;
  readonly service: string;
  readonly stdin: Uint8Array;
  /** Keep the callee's input open after `stdin`, so that its end tells the callee that the caller is gone. */
  readonly keepStdinOpen?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Seconds until the call is ended. There is always a limit, because the other side may never answer. */
  readonly timeout: number;
  /** The most bytes of standard output to accept, kept or streamed; more ends the call. */
  readonly maxBytes: number;
  /** Receives standard output as it comes; it is then not kept. */
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

/** The only way out of the control qube. Unless it says otherwise, it never rejects: if the client cannot be run, the call exits with 125. */
export interface Qrexec {
  call(request: QrexecRequest): Promise<QrexecResult>;
}
