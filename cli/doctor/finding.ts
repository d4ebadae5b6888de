/** One stop on the way from here to dom0. */
export interface Finding {
  /** Stable, for scripts. */
  readonly id: string;
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What to do, and where. */
  readonly fix?: string | undefined;
}

export const fine = (id: string, what: string, detail: string, fix?: string): Finding => ({
  id,
  what,
  ok: true,
  detail,
  fix,
});

export const wrong = (id: string, what: string, detail: string, fix: string): Finding => ({
  id,
  what,
  ok: false,
  detail,
  fix,
});
