/** The result of one check on the way from here to dom0. */
export interface Finding {
  /** Stable, so that scripts can use it. */
  readonly id: string;
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
  /** How to fix it, and where. */
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
