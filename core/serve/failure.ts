/** What went wrong in somebody else's code, on one line. */
export function errorSummary(error: unknown): string {
  try {
    return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').slice(0, 300);
  } catch {
    return 'something that cannot be shown';
  }
}

/** The same, with the stack if there is one. */
export function errorTrace(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : errorSummary(error);
}
