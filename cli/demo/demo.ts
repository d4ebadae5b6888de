import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { python } from '../../sim/python.js';
import { type HostProcess, startSimulatedHost } from '../host/simulated.js';
import { PACKAGE } from '../shipped/package.js';
import type { Cell } from '../terminal/terminal.js';
import { Agent, type Answer } from './agent.js';
import { Narrator } from './narrator.js';

const QMCP_ADMIN = join(PACKAGE, 'dom0/operator/qmcp-admin');
/** An installed package does not contain it. */
const TUTORIAL = 'docs/tutorial/first-session.md';
/** Lines of the audit log shown at the end. */
const AUDIT_LINES = 14;

/** An example session. Each scene checks its own claims; a claim that fails ends the demo with exit code 1. */
export async function demo(): Promise<void> {
  const narrator = new Narrator(process.stdout);
  narrator.title(
    'qmcp: an agent, its world of qubes, and what it cannot see',
    'A simulated Qubes host with the real dom0 kernel, and an MCP client at the other end of real standard input and output.',
  );
  const host = await startSimulatedHost({ world: 'demo', quiet: true });
  try {
    const agent = await Agent.connect(host.client);
    try {
      await session(agent, narrator);
    } finally {
      await agent.leave();
    }
    operatorsView(host, narrator);
    whatNext(narrator);
  } finally {
    await host.stop();
  }
}

async function session(agent: Agent, narrator: Narrator): Promise<void> {
  /** Calls a tool, prints the call and the answer, and fails when the outcome is not the expected one. */
  const call = async (tool: string, args: Record<string, unknown>, refused = false): Promise<Answer> => {
    narrator.sends(tool, args);
    const answer = await agent.call(tool, args);
    if (answer.refused) narrator.isRefused(answer.text);
    if (answer.refused !== refused)
      throw new Error(
        `demo: ${tool} was expected to be ${refused ? 'refused' : 'carried out'}: ${answer.text}`,
      );
    return answer;
  };

  narrator.scene(`The agent connects (MCP ${agent.protocol}) and asks what it can do`);
  const tools = await agent.tools();
  narrator.table(
    ['tool', 'hint', 'what it does'],
    tools.map(({ name, title, description = '', annotations }) => [
      { text: name, colour: 'cyan' },
      annotations?.readOnlyHint
        ? { text: 'read only', colour: 'green' }
        : annotations?.destructiveHint
          ? { text: 'destructive', colour: 'red' }
          : { text: 'writes', colour: 'yellow' },
      { text: title ?? description },
    ]),
  );

  narrator.scene(
    'It looks around',
    'The host also has sys-net, vault, personal, work and debian-13. They are outside the agent’s world, so it cannot see them.',
  );
  const before = (await call('qube_list', {})).value as {
    prefix: string;
    qubes: { name: string; class: string; state: string }[];
  };
  narrator.gets(before.qubes.map((qube) => `${qube.name} (${qube.class}, ${qube.state})`).join(', '));

  narrator.scene('It makes a qube, starts it and runs a command in it');
  const created = await call('qube_spawn', { name: 'ai-one', template: 'ai-debian' });
  const { template, network, state } = created.value;
  narrator.gets(`ai-one: template ${template}, network ${network}, ${state}`);
  narrator.gets(`ai-one: ${(await call('qube_start', { qube: 'ai-one' })).value.state}`);
  const ran = await call('exec_run', { qube: 'ai-one', command: 'echo hello | tr a-z A-Z' });
  narrator.gets(`exit ${ran.value.exit}, stdout ${JSON.stringify(ran.value.stdout)}`);
  if (ran.value.stdout !== 'HELLO\n') throw new Error('demo: the command did not say HELLO');

  narrator.scene(
    'It asks for vault, which exists, and for no-such-qube, which does not',
    'vault is outside its world. If the two answers differed in any byte, the agent could find out which qubes exist.',
  );
  const same = (hidden: Answer, missing: Answer) => {
    const equal = hidden.bytes === missing.bytes;
    narrator.says(equal, equal ? `the same ${Buffer.byteLength(hidden.bytes)} bytes` : 'the answers differ');
    if (!equal) throw new Error('demo: the answers for a hidden qube and a missing one differ');
  };
  same(
    await call('qube_state', { qube: 'vault' }, true),
    await call('qube_state', { qube: 'no-such-qube' }, true),
  );
  same(
    await call('qube_spawn', { name: 'ai-two', template: 'debian-13' }, true),
    await call('qube_spawn', { name: 'ai-two', template: 'no-such-template' }, true),
  );

  narrator.scene(
    'It tries to make a qube called vault',
    'The name is refused because it lacks the prefix of the world, before anything is looked up. So this reveals nothing about vault either.',
  );
  await call('qube_spawn', { name: 'vault', template: 'ai-debian' }, true);

  narrator.scene(
    'It cleans up',
    'Removing leaves a tombstone: the operator can bring the qube back for a while.',
  );
  narrator.gets(`ai-one: ${(await call('qube_shutdown', { qube: 'ai-one' })).value.state}`);
  narrator.gets(`removed ${(await call('qube_remove', { qube: 'ai-one' })).value.removed}`);
  const after = (await call('qube_list', {})).value as { qubes: { name: string }[] };
  narrator.gets(after.qubes.map(({ name }) => name).join(', '));
}

/** Shows what dom0 logged during the session, through the operator's own command. */
function operatorsView(host: HostProcess, narrator: Narrator): void {
  narrator.scene(
    'Meanwhile in dom0: what the operator sees',
    `The end of the hash-chained audit log, without the columns call and principal. The calls on vault and no-such-qube are not in it, because the qrexec policy denied both before the kernel received a byte. The command run in ai-one is not in it either, because that call went from qube to qube.`,
  );
  narrator.types('qmcp-admin audit tail');
  const lines = audit(host, 'tail', '-n', String(AUDIT_LINES), '--json').trimEnd().split('\n');
  narrator.table(
    ['time (UTC)', 'service', 'line', 'result', 'qubes'],
    lines.map((line) => auditRow(JSON.parse(line) as AuditLine)),
  );
  narrator.types('qmcp-admin audit verify');
  narrator.note(audit(host, 'verify').trim());
}

/** The fields of an audit line that the demo shows. */
interface AuditLine {
  readonly time: string;
  readonly service: string;
  readonly kind: string;
  readonly code?: string;
  readonly names?: readonly string[];
  readonly target: string;
}

function auditRow({ time, service, kind, code = '', names = [], target }: AuditLine): Cell[] {
  return [
    { text: time.slice(11, 19) },
    { text: service },
    { text: kind },
    code === 'ok' ? { text: code, colour: 'green' } : { text: code, colour: 'yellow' },
    { text: names.length > 0 ? names.join(', ') : target },
  ];
}

/** Runs the operator's own command and returns its output. */
function audit(host: HostProcess, ...words: readonly string[]): string {
  const { status, stdout, error } = spawnSync(
    python(),
    ['-B', QMCP_ADMIN, '--root', join(host.dir, 'dom0'), 'audit', ...words],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  if (error) throw error;
  if (status !== 0) throw new Error('demo: qmcp-admin audit failed');
  return stdout;
}

function whatNext(narrator: Narrator): void {
  const commands: readonly (readonly [string, string])[] = [
    ['npx --no-install qmcp call qube_list', 'call a tool yourself'],
    ['npx --no-install qmcp explain qube_remove', 'see what limits a tool, down to the line in dom0'],
    [
      'npx --no-install qmcp sim --dir host',
      'keep a simulated host running, and try both sides: agent and operator',
    ],
    ['npx --no-install qmcp connect claude-code', 'serve these tools to an MCP client'],
    ['npx --no-install qmcp new plugin hello', 'write a plugin'],
  ];
  narrator.heading('Try next');
  narrator.table(
    ['run', 'to'],
    commands.map(([command, use]) => [{ text: command, colour: 'cyan' }, { text: use }]),
  );
  if (existsSync(join(PACKAGE, TUTORIAL)))
    narrator.note(`${TUTORIAL} guides you through all of this in twenty minutes.`);
}
