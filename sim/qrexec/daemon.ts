/** The qrexec daemon: checks the policy, and then makes the call. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Host } from '../host/host.js';
import { checkAnswer, evaluate, type PolicyRequest, type Verdict } from '../policy/evaluate.js';
import { DISPOSABLE_OF } from '../policy/system.js';
import {
  type Call,
  type CallIo,
  NO_SUCH_SERVICE,
  REFUSED,
  type SanitisedCall,
  sanitised,
  serviceOf,
} from './call.js';
import { dom0Service } from './dom0.js';
import type { RunningGuests } from './insides.js';
import { Policies } from './policies.js';

/** A question to the operator; the answer is one of `targets`, or null for no. */
export interface Question {
  readonly source: string;
  readonly service: string;
  readonly argument: string;
  readonly requested: string;
  readonly targets: readonly string[];
  readonly preselected: string | null;
}
export type Operator = (question: Question) => string | null | Promise<string | null>;

export class Qrexec {
  /** The person at the machine. By default nobody: the answer is no. */
  operator: Operator = () => null;
  private readonly policies: Policies;

  constructor(
    private readonly host: Host,
    private readonly root: string,
    private readonly insides: RunningGuests,
    private readonly log: string,
  ) {
    this.policies = new Policies(root);
    mkdirSync(dirname(log), { recursive: true });
  }

  /** Makes a call and resolves with its exit code. Every failure to reach the service looks the same to the caller. */
  async call(call: Call, io: CallIo): Promise<number> {
    const asked = sanitised(call);
    if (asked === undefined || this.host.qube(call.source)?.state !== 'Running') return this.refuse(io);
    const verdict = await this.decide(call.source, asked);
    this.record(call.source, asked, verdict);
    // The operator may have answered after the caller had gone.
    if (verdict.verdict !== 'allow' || io.signal.aborted) return this.refuse(io);
    const { target, user, autostart, instead } = verdict;
    const called = instead === null ? asked : { ...asked, ...serviceOf(instead) };
    if (target === 'dom0') {
      const requested = this.requestedAs(asked.target);
      io.accepted?.();
      return dom0Service(this.root, { ...called, source: call.source, requested }, io);
    }
    return target.startsWith(DISPOSABLE_OF)
      ? this.inDisposable(call.source, target.slice(DISPOSABLE_OF.length), called, user, io)
      : this.inQube(call.source, target, called, user, autostart, io);
  }

  /** Whether the policy has a plain allow. `ask` counts as no, and so does an invalid policy. */
  allows(request: PolicyRequest): boolean {
    try {
      return evaluate(this.policies.current(), this.host.system(), request).verdict === 'allow';
    } catch {
      return false;
    }
  }

  private async decide(source: string, { service, argument, target }: SanitisedCall): Promise<Verdict> {
    try {
      const system = this.host.system();
      const request = { service, argument, source, target };
      const verdict = evaluate(this.policies.current(), system, request);
      if (verdict.verdict !== 'ask') return verdict;
      const { targets, defaultTarget: preselected } = verdict;
      const answer = await this.operator({
        source,
        service,
        argument,
        requested: target,
        targets,
        preselected,
      });
      if (answer === null) return { verdict: 'deny', rule: verdict.rule, why: 'the operator said no' };
      return checkAnswer(verdict, system, request, answer);
    } catch (error) {
      return { verdict: 'deny', rule: null, why: (error as Error).message };
    }
  }

  /** A missing name becomes @default before any check. */
  private requestedAs(target: string): string {
    return target.startsWith('@') || this.host.qube(target) !== undefined ? target : '@default';
  }

  private async inQube(
    source: string,
    target: string,
    asked: SanitisedCall,
    user: string | null,
    autostart: boolean,
    io: CallIo,
  ): Promise<number> {
    const qube = this.host.qube(target);
    if (qube === undefined || qube.name === source) return this.refuse(io);
    const { name, default_user } = qube;
    if (qube.state !== 'Running' && !(autostart && (await this.admin('admin.vm.Start', name))))
      return this.refuse(io);
    const guest = this.insides.of(name);
    if (guest === undefined) return this.refuse(io);
    const as = user ?? default_user ?? 'user';
    const { service, argument } = asked;
    io.accepted?.();
    return (await guest.serve({ ...io, service, argument, source, user: as })) ?? NO_SUCH_SERVICE;
  }

  /** A disposable for one call. */
  private async inDisposable(
    source: string,
    template: string,
    asked: SanitisedCall,
    user: string | null,
    io: CallIo,
  ): Promise<number> {
    const name = await this.admin('admin.vm.CreateDisposable', template, source);
    if (!name) return this.refuse(io);
    try {
      return await this.inQube(source, name, asked, user, true, io);
    } finally {
      if (!(await this.admin('admin.vm.Kill', name))) await this.admin('admin.vm.Remove', name);
    }
  }

  /** The data of an Admin API call as dom0 (or as a qube): true if it is empty, false if the call was refused. */
  private async admin(method: string, dest: string, source = 'dom0'): Promise<string | false> {
    const reply = await this.host.call(Buffer.from(`${method}+ ${source} name ${dest}\0`));
    const text = Buffer.from(reply).toString('utf8');
    return text.startsWith('0\0') ? text.slice(2) || 'done' : false;
  }

  private refuse(io: CallIo): number {
    io.stderr(Buffer.from('Request refused\n'));
    return REFUSED;
  }

  private record(source: string, { service, argument, target }: SanitisedCall, verdict: Verdict): void {
    const result = verdict.verdict === 'allow' ? `allowed to ${verdict.target}` : 'denied';
    const rule = verdict.rule === null ? '' : ` (${verdict.rule.file}:${verdict.rule.line})`;
    const why = verdict.verdict === 'deny' ? `: ${verdict.why}` : '';
    appendFileSync(
      this.log,
      `${new Date().toISOString()} qrexec: ${service}+${argument}: ${source} -> ${target}: ${result}${why}${rule}\n`,
    );
  }
}
