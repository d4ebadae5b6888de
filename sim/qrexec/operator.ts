import type { Question } from './daemon.js';

/** A dialog as Qubes shows it. It stays open until it is answered, even if the caller has gone. */
export interface Dialog {
  readonly source: string;
  /** The service and its argument, such as `qmcp.spawn.Kill+ai-two`. */
  readonly operation: string;
  readonly choices: readonly string[];
  /** The choice that is selected when the dialog opens. */
  readonly selected: string | null;
  /** OK. Throws for a target that is not among the choices: the dialog has no OK for it. */
  choose(target?: string | null): void;
  cancel(): void;
}

/** The person at the machine, who sees the same dialogs as on a real host, and answers each at any time, or never. */
export class SimulatedOperator {
  /** The dialogs that wait for an answer, oldest first. */
  readonly open: Dialog[] = [];
  /** Every dialog so far. */
  readonly seen: Dialog[] = [];
  private readonly opened = new Set<() => void>();

  /** For `Qrexec.operator`. */
  readonly ask = (question: Question): Promise<string | null> =>
    new Promise((resolve) => {
      const answer = (target: string | null) => {
        this.open.splice(this.open.indexOf(dialog), 1);
        resolve(target);
      };
      const { source, service, argument, targets: choices, preselected: selected } = question;
      const dialog: Dialog = {
        ...{ source, operation: `${service}+${argument}`, choices, selected },
        choose: (target = selected) => {
          if (target === null || !choices.includes(target)) throw new Error(`${target} is not a choice`);
          answer(target);
        },
        cancel: () => answer(null),
      };
      this.open.push(dialog);
      this.seen.push(dialog);
      for (const wake of this.opened) wake();
    });

  /** The oldest open dialog, as soon as there is one. */
  async next(): Promise<Dialog> {
    while (this.open[0] === undefined)
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.opened.delete(wake);
          resolve();
        };
        this.opened.add(wake);
      });
    return this.open[0];
  }
}
