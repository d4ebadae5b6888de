/** Milliseconds of silence after which a client is told what a call waits for. Many clients give up after a minute of it. */
const SILENCE_MILLISECONDS = 10_000;

type Notify = (update: { readonly progress: number; readonly message: string }) => void;

/**
 * Runs the work of a call and tells its client how it goes on: with the messages of the work, and after each while without one,
 * with what the work waits for.
 */
export async function withProgress<T>(
  notify: Notify | undefined,
  waitingFor: () => string | undefined,
  work: (progress: (message: string) => void) => Promise<T>,
): Promise<T> {
  if (notify === undefined) return work(() => {});
  let sent = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => send(`waiting for ${waitingFor() ?? 'the tool'}`), SILENCE_MILLISECONDS);
  };
  const send = (message: string) => {
    if (isOver) return;
    sent += 1;
    notify({ progress: sent, message });
    listen();
  };
  listen();
  try {
    return await work(send);
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}
