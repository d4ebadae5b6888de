#!/usr/bin/env node
/**
 * An agent's working day, on a simulated host and over real MCP: what a client would send, what comes back, and after each
 * scene whether that is what it should have been. Exits with 1 when it is not.
 *
 *     node examples/session/session.mjs
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ready } from '../../scripts/ready.mjs';

await ready();
const { Client } = await import('@modelcontextprotocol/client');
const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
const { Narrator } = await import('../../dist/cli/demo/narrator.js');
const { startSimulatedHost } = await import('../../dist/cli/host/simulated.js');

const QMCP = fileURLToPath(new URL('../../cli/qmcp.js', import.meta.url));
const narrator = new Narrator(process.stdout);
const host = await startSimulatedHost({ world: 'demo', quiet: true });
const client = new Client({ name: 'session', version: '0' });

/** Calls a tool and shows both sides. A refusal ends the session, unless it is what the scene is about. */
async function call(tool, args, { shows, refused = false, onProgress } = {}) {
  narrator.sends(tool, args);
  const options = onProgress && { onprogress: ({ message }) => onProgress(message) };
  const result = await client.callTool({ name: tool, arguments: args }, options);
  if (Boolean(result.isError) !== refused) throw new Error(`${tool}: ${result.content[0].text}`);
  if (refused) narrator.isRefused(result.content[0].text);
  else if (shows) narrator.gets(shows(result.structuredContent));
  return result.structuredContent;
}

function insist(holds, claim) {
  narrator.says(Boolean(holds), claim);
  if (!holds) throw new Error(`not so: ${claim}`);
}

/** What the person in front of the machine does. */
async function person(...words) {
  narrator.note(`(the operator: ${words.join(' ')})`);
  await promisify(execFile)(process.execPath, [QMCP, 'sim', 'ctl', '--dir', host.dir, ...words]);
}

const names = async () => (await call('qube_list', {})).qubes.map(({ name }) => name);
const ran = ({ exit, stdout, stderr }) => `exit ${exit}: ${JSON.stringify(stdout || stderr)}`;
const DATA = 'city,people\nLyon,522969\nNantes,323204\n';

async function session() {
  narrator.scene(
    'Install a package',
    'Only a template keeps what is installed. The operator has put this one on the world’s gateway, so that it can fetch packages there.',
  );
  await person('feature', 'ai-debian', 'service.updates-proxy-setup', '');
  await person('prefs', 'ai-debian', 'netvm', 'sys-ai-net');
  await call('qube_start', { qube: 'ai-debian' }, { shows: ({ state }) => state });
  const installed = await call(
    'package_install',
    { qube: 'ai-debian', packages: ['cowsay'] },
    { shows: ran },
  );
  insist(installed.exit === 0, 'cowsay is installed');
  await call('qube_shutdown', { qube: 'ai-debian' }, { shows: ({ state }) => state });

  narrator.scene(
    'Clone a template for disposables, throw one of its disposables away, make a worker from it',
  );
  const base = { name: 'ai-base', template: 'ai-debian', class: 'DispVMTemplate', start: true };
  await call('qube_spawn', base, { shows: ({ state, network }) => `${state}, on ${network}` });
  const greeting = { qube: 'ai-base', path: '.config/greeting', content: 'moo\n', parents: true };
  await call('file_write', greeting, { shows: ({ path, size }) => `${path}: ${size} bytes` });
  await call('qube_shutdown', { qube: 'ai-base' });
  await call('qube_clone', { source: 'ai-base', name: 'ai-tools' }, { shows: ({ name }) => name });
  const say = 'cowsay $(cat .config/greeting)';
  const thrown = await call('disposable_run', { template: 'ai-tools', command: say }, { shows: ran });
  insist(thrown.exit === 0 && thrown.stdout.includes('< moo >'), 'a disposable has the package and the file');
  insist((await names()).join() === 'ai-base,ai-debian,ai-tools', 'and is gone');
  await call('qube_clone', { source: 'ai-tools', name: 'ai-worker' });
  await call('qube_start', { qube: 'ai-worker' }, { shows: ({ state }) => state });
  const worker = await call('exec_run', { qube: 'ai-worker', command: say }, { shows: ran });
  insist(worker.stdout === thrown.stdout, 'so has the worker');

  narrator.scene('Copy data in');
  await call('qube_start', { qube: 'ai-base' });
  await call('file_write', { qube: 'ai-base', path: 'data.csv', content: DATA });
  const copy = { source: 'ai-base', target: 'ai-worker', path: 'data.csv' };
  const copied = await call('file_copy', copy, { shows: ({ to }) => to });
  const listed = await call(
    'file_list',
    { qube: 'ai-worker', path: 'QubesIncoming/ai-base' },
    { shows: ({ entries }) => entries.map(({ name, size }) => `${name} (${size} bytes)`).join(', ') },
  );
  insist(copied.copied && listed.entries[0]?.size === DATA.length, 'it has arrived whole');

  narrator.scene(
    'Watch a command while it runs',
    'Its output comes as MCP progress; every line says whose it is.',
  );
  let answer;
  const steps = 'echo "step 1"; until [ -e go-on ]; do sleep 0.1; done; echo "step 2"';
  await call(
    'exec_run',
    { qube: 'ai-worker', command: steps },
    {
      shows: ran,
      onProgress: (message) => {
        for (const line of message.split('\n')) narrator.note(`… ${line}`);
        // It waits for this before it goes on.
        if (message.includes('stdout| step 1'))
          answer = call('file_write', { qube: 'ai-worker', path: 'go-on', content: '' });
      },
    },
  );
  await answer;
  insist(answer !== undefined, 'it was heard as it came');

  narrator.scene('Run a long job in the background, follow it, read its output by pages');
  const job = 'echo "part 1"; until [ -e part-2 ]; do sleep 0.1; done; seq 1 6000; echo warning >&2';
  const { handle } = await call(
    'exec_run',
    { qube: 'ai-worker', command: job, background: true },
    { shows: (started) => `${started.handle}, running: ${started.running}` },
  );
  let text = '';
  let looks = 0;
  for (let offset = 0; offset !== null; looks += 1) {
    const page = await call('exec_output', { handle, offset, wait: 10 }, { shows: shortly });
    text += page.content;
    offset = page.next;
    if (looks === 0) await call('file_write', { qube: 'ai-worker', path: 'part-2', content: '' });
  }
  const numbers = Array.from({ length: 6000 }, (_, at) => `${at + 1}\n`).join('');
  insist(text === `part 1\n${numbers}`, `${text.length} bytes in ${looks} looks, none twice, none missing`);
  const complaint = await call('exec_output', { handle, stream: 'stderr' }, { shows: shortly });
  insist(complaint.content === 'warning\n' && complaint.exit === 0, 'standard error is a stream of its own');

  narrator.scene('Narrow its way out, and prove it');
  const rules = [{ to: 'dns' }, { to: 'example.org', protocol: 'tcp', ports: '443' }];
  await call('egress_rules_set', { qube: 'ai-worker', rules });
  for (const [site, passes] of Object.entries({ 'example.org': 'yes', 'elsewhere.example': 'no' })) {
    const asked = { qube: 'ai-worker', host: site, port: 443, protocol: 'tcp' };
    const told = await call('egress_explain', asked, {
      shows: (is) => `passes: ${is.passes}, by ${is.because}`,
    });
    const curl = await call(
      'exec_run',
      { qube: 'ai-worker', command: `curl -sS https://${site}/` },
      { shows: ran },
    );
    insist(
      told.passes === passes && (curl.exit === 0) === (passes === 'yes'),
      `what is said of ${site} is what happens`,
    );
  }

  narrator.scene('Attach a disk, and detach it');
  await person('plug', 'ai-base', 'block', 'sdb', 'stick');
  const device = { class: 'block', backend: 'ai-base', device: 'sdb', qube: 'ai-worker' };
  const attached = await call('device_attach', device);
  insist(
    attached.devices.some((one) => one.device === 'sdb' && one.attached),
    'the worker has the stick',
  );
  const detached = await call('device_detach', device);
  insist(!detached.devices.some((one) => one.attached), 'and has it no more');

  narrator.scene('Remove the worker, bring it back, find the data there');
  await call('qube_remove', { qube: 'ai-worker' }, { shows: ({ removed }) => `removed ${removed}` });
  insist(!(await names()).includes('ai-worker'), 'it is gone');
  await call('file_read', { qube: 'ai-worker', path: 'data.csv' }, { refused: true });
  await call('qube_restore', { qube: 'ai-worker' }, { shows: ({ restored }) => `restored ${restored}` });
  await call('qube_start', { qube: 'ai-worker' });
  const found = await call(
    'file_read',
    { qube: 'ai-worker', path: copied.to },
    { shows: ({ content }) => JSON.stringify(content) },
  );
  insist(found.content === DATA, 'and it has what it had');
}

function shortly({ content, next, running }) {
  const shown =
    content.length > 60
      ? `${JSON.stringify(content.slice(0, 40))}… (${content.length})`
      : JSON.stringify(content);
  return `${shown}, ${running ? 'running' : 'ended'}, next: ${next}`;
}

try {
  narrator.title(
    'An agent at work',
    'Every line with → is a tool call over MCP, every line with ← what came back.',
  );
  const args = [QMCP, 'serve', '--host', 'qubes', '--client', host.client];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'inherit' }));
  await session();
  narrator.note('');
  narrator.says(true, 'everything was as it should be');
} catch (error) {
  process.stderr.write(`session: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  await client.close();
  await host.stop();
}
