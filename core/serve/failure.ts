/** An error from a plugin's code, on one line. */
export function errorSummary(error: unknown): string {
  try {
    return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').slice(0, 300);
  } catch {
    return 'an error that cannot be printed';
  }
}

/** The same, with its stack if it has one. */
export function errorTrace(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : errorSummary(error);
}
