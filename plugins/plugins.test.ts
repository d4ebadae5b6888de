import { readdirSync, readFileSync } from 'node:fs';
import { Compile } from 'typebox/schema';
import { describe, expect, test } from 'vitest';
import { INVARIANTS, type Tool } from '../core/api/index.js';
import { graphOf } from '../core/boot/order.js';
import { DEFAULTS } from '../core/config/defaults.js';
import { BUILT_IN } from './index.js';

/** Tools that take back or only add something: nothing of the agent's or a person's is lost by them. */
const REVERSIBLE = [
  'qube_set',
  'qube_feature_set',
  'qube_spawn',
  'qube_clone',
  'disposable_spawn',
  'qube_start',
  'qube_pause',
  'qube_unpause',
  'qube_restore',
  'file_copy',
  'device_attach',
  'network_disconnect',
  'network_reconnect',
  'plan_propose',
  'plan_withdraw',
];
/** Tools of which a second call adds something or runs something again. */
const REPEATING = [
  'qube_spawn',
  'qube_clone',
  'disposable_spawn',
  'exec_run',
  'disposable_run',
  'file_write',
  'file_copy',
  'package_install',
  'plan_run',
  'plan_withdraw',
];

const TOOLS: readonly Tool[] = BUILT_IN.flatMap(({ tools }) => tools);
const inputs = ({ input }: Tool) => {
  const { properties = {}, required = [] } = input as { properties?: object; required?: string[] };
  return Object.keys(properties).map((name) => (required.includes(name) ? name : `${name}?`));
};

describe('the built-in plugins', () => {
  test('the built-in plugins are valid, and are loaded by default', () => {
    const candidates = BUILT_IN.map((plugin) => ({ origin: plugin.id, plugin }));
    expect(graphOf(candidates).problems).toEqual([]);
    expect(DEFAULTS.plugins).toEqual(BUILT_IN.map(({ id }) => id));
  });

  test('the built-in plugins have exactly these tools, effects and inputs', () => {
    const told = TOOLS.map((tool) => `${tool.effect} ${tool.name}(${inputs(tool).join(', ')})`);
    expect(told.filter((line) => !/ (exec|file|package)_|disposable_run/.test(line))).toMatchInlineSnapshot(`
      [
        "read qube_list()",
        "read qube_state(qube)",
        "write qube_set(qube, properties)",
        "write qube_feature_set(qube, feature, value)",
        "write qube_spawn(name, template, class?, label?, network?, memory?, maxmem?, vcpus?, private_size?, start?)",
        "write qube_clone(source, name)",
        "write disposable_spawn(template)",
        "write qube_start(qube)",
        "write qube_pause(qube)",
        "write qube_unpause(qube)",
        "destroy qube_shutdown(qube, timeout?)",
        "destroy qube_kill(qube)",
        "destroy qube_remove(qube)",
        "write qube_restore(qube)",
        "read device_list(qube?)",
        "write device_attach(qube, class, backend, device, read_only?)",
        "destroy device_detach(qube, class, backend, device)",
        "read egress_status()",
        "read egress_rules_get(qube)",
        "destroy egress_rules_set(qube, rules)",
        "read egress_explain(qube, host, port?, protocol?)",
        "read network_map()",
        "write network_disconnect(qube)",
        "write network_reconnect(qube)",
        "read event_wait(seconds, qube?, kinds?)",
        "read budget_get()",
        "destroy volume_grow(qube, size)",
        "write plan_propose(title, reason, steps)",
        "read plan_status(digest?, wait?)",
        "destroy plan_run(digest)",
        "write plan_withdraw(digest)",
      ]
    `);
  });

  test('a tool counts as destructive unless its changes can be undone, and as repeatable only if a second call adds nothing', () => {
    const changing = TOOLS.filter(({ effect }) => effect !== 'read');
    const names = (tools: readonly Tool[]) => tools.map(({ name }) => name);
    expect(names(changing.filter(({ effect }) => effect === 'write'))).toEqual(REVERSIBLE);
    expect(names(changing.filter(({ idempotent }) => !idempotent))).toEqual(REPEATING);
  });

  test('the built-in plugins declare only invariants that dom0 enforces', () => {
    const ids = Object.keys(INVARIANTS);
    const declared = BUILT_IN.flatMap(({ services }) => services.flatMap(({ invariants }) => invariants));
    expect(declared.map(({ id }) => id).filter((id) => !ids.includes(id))).toEqual([]);
  });

  test.each(BUILT_IN.map(({ id, tools, services }) => [id, tools, services] as const))(
    'the README of %s describes its tools and invariants, with an example',
    (id, tools, services) => {
      const readme = readFileSync(new URL(`./${id}/README.md`, import.meta.url), 'utf8');
      for (const { name, effect } of tools) expect(readme).toMatch(new RegExp(`\`${name}\` +\\| ${effect} `));
      const held = new Set(services.flatMap(({ invariants }) => invariants.map((each) => each.id)));
      for (const invariant of held) expect(readme).toContain(`\`${invariant}\``);
      // An example is a call of one of its own tools, in a block.
      const examples = [...readme.matchAll(/^```\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
      const called = tools.filter(({ name }) => examples.some((text) => text.includes(`${name} {`)));
      expect(called).not.toEqual([]);
    },
  );

  test.each(BUILT_IN.map((plugin) => [plugin.id, plugin] as const))(
    'the README of %s describes its resources and prompts',
    (id, { resources = [], prompts = [], changes }) => {
      const readme = readFileSync(new URL(`./${id}/README.md`, import.meta.url), 'utf8');
      const offered = [...resources.map(({ uri }) => uri), ...prompts.map(({ name }) => name)];
      for (const each of offered) expect(readme).toContain(`\`${each}\``);
      expect(/\*\*Subscriptions\.\*\*/.test(readme)).toBe(changes !== undefined);
    },
  );

  test('every folder of a plugin is in the list', () => {
    const folders = readdirSync(new URL('.', import.meta.url), { withFileTypes: true });
    const ids = folders.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(BUILT_IN.map(({ id }) => id).sort()).toEqual(ids.sort());
  });
});

describe('the tools a model is shown', () => {
  test.each(TOOLS.map((tool) => [tool.name, tool] as const))(
    '%s has a description and a bounded input',
    (_name, tool) => {
      expect(tool.description).toMatch(/^[A-Z].*\.$/);
      expect(tool.description.length).toBeLessThan(300);
      // Of the host, nothing: no name of a qube, no daemon, no file.
      expect(`${tool.title} ${tool.description}`).not.toMatch(/\b(sys-|ai-|dom0|qubesd|qmcpd|vault)|\//);
      expect(tool.effect === 'read' || tool.upholds.length > 0).toBe(true);
      for (const schema of [tool.input, tool.output]) {
        expect(() => Compile(schema)).not.toThrow();
        expect(schema).toMatchObject({ type: 'object', additionalProperties: false });
      }
    },
  );

  test.each(TOOLS.map((tool) => [tool.name, tool] as const))(
    '%s uses only services with its own effect or a lesser one',
    (_name, tool) => {
      const order = ['read', 'write', 'destroy'];
      for (const { effect } of Object.values(tool.uses))
        expect(order.indexOf(effect)).toBeLessThanOrEqual(order.indexOf(tool.effect));
    },
  );
});
