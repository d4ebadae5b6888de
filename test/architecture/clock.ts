/**
 * Finds what makes the outcome of a test depend on time. A test may not read a clock or set a timer at all, whatever it does with
 * it, so a new name or a helper function cannot hide one.
 */
import { parseSync } from 'oxc-parser';

/** Milliseconds: the default limit of a test (vitest.config.ts). A shorter limit can fail on a busy machine. */
export const LIMIT = 300_000;
/** A command that sleeps this many seconds or more stands for one that never ends. */
const FOREVER = 3600;
/** A shell loop that waits for an event. */
const UNTIL = /\b(until|while) [^;]+; do sleep [\d.]+; done/g;

const MODULES: Readonly<Record<string, string>> = {
  perf_hooks: 'reads a clock',
  timers: 'sets a timer',
  'timers/promises': 'sets a timer',
};
/** Rejected wherever the name appears: as a variable, as a member, in a pattern. */
const NAMES: Readonly<Record<string, string>> = {
  ...{ performance: 'reads a clock', hrtime: 'reads a clock', Temporal: 'reads a clock' },
  ...{ setTimeout: 'sets a timer', setInterval: 'sets a timer', setImmediate: 'sets a timer' },
};
/** Rejected members. The object itself may not get another name. */
const MEMBERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  process: { uptime: 'reads a clock', cpuUsage: 'reads a clock', resourceUsage: 'reads a clock' },
  console: { time: 'reads a clock' },
  AbortSignal: { timeout: 'sets a timer' },
  Atomics: { wait: 'sleeps', waitAsync: 'sleeps' },
  vi: { waitFor: 'waits with its own limit', waitUntil: 'waits with its own limit' },
  expect: { poll: 'waits with its own limit' },
};
/** The members of Date that read no clock. */
const OF_A_DATE = ['parse', 'UTC'];

/** Names from vitest that take a limit. */
const TESTS = [
  ...['it', 'test', 'describe', 'suite', 'bench', 'vi', 'beforeAll', 'beforeEach', 'afterAll', 'afterEach'],
  ...['onTestFinished', 'onTestFailed', 'aroundAll', 'aroundEach'],
];
/** Functions whose option `timeout` is in milliseconds. */
const CALLS = [
  ...['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork', 'callTool', 'listTools'],
  ...['readResource', 'getPrompt'],
];

interface Node {
  readonly type: string;
  readonly start: number;
  // biome-ignore lint/suspicious/noExplicitAny: a syntax tree of every kind of node
  readonly [key: string]: any;
}

/** Returns `line: problem` for each problem in the source. */
export function wallClock(path: string, source: string): string[] {
  const { program, errors } = parseSync(path, source);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]!.message}`);
  return new Reading(source, program as unknown as Node).problems();
}

class Reading {
  private readonly found: { readonly line: number; readonly what: string }[] = [];
  /** Local name of an import → its name in the module. */
  private readonly imported = new Map<string, string>();
  /** Constants by name; undefined when two declarations share the name. */
  private readonly constants = new Map<string, Node | undefined>();
  /** Names that take a limit: vitest's own, and constants made from them. */
  private readonly tests = new Set<string>(TESTS);

  constructor(
    private readonly source: string,
    private readonly program: Node,
  ) {
    each(program, (node) => {
      if (node.type === 'ImportSpecifier') this.imported.set(node.local.name, nameOf(node.imported)!);
      if (node.type !== 'VariableDeclarator' || node.id.type !== 'Identifier') return;
      const { name } = node.id;
      this.constants.set(name, this.constants.has(name) ? undefined : (node.init ?? undefined));
    });
    for (const [local, name] of this.imported) if (TESTS.includes(name)) this.tests.add(local);
    for (const [name, value] of this.constants)
      if (value !== undefined && this.isTest(value)) this.tests.add(name);
  }

  problems(): string[] {
    each(this.program, (node, parent) => {
      this.judge(node, parent);
    });
    const byLine = this.found.sort((one, other) => one.line - other.line);
    return [...new Set(byLine.map(({ line, what }) => `${line}: ${what}`))];
  }

  private judge(node: Node, parent: Node | undefined): void {
    switch (node.type) {
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
        this.module(node.source);
        break;
      case 'Identifier':
        this.name(node, parent);
        break;
      case 'MemberExpression':
        this.member(node);
        break;
      case 'ObjectPattern':
        // `const { performance: p } = globalThis`
        for (const { key } of node.properties) if (key) this.forbid(key, nameOf(key));
        break;
      case 'CallExpression':
        if (root(node.callee) === 'require' && node.arguments[0]) this.module(node.arguments[0]);
        this.limits(node);
        break;
      case 'Literal':
        if (typeof node.value === 'string') this.text(node, [node.value]);
        break;
      case 'TemplateLiteral':
        this.text(
          node,
          node.quasis.map((part: Node) => part.value.cooked ?? part.value.raw),
        );
        break;
    }
  }

  private module(source: Node | null): void {
    const name = source && textOf(source)?.replace(/^node:/, '');
    if (name && MODULES[name]) this.say(source, `${MODULES[name]}: ${name}`);
  }

  /** Judges a name that stands for a value. Keys, members and types are not values. */
  private name(node: Node, parent: Node | undefined): void {
    if (parent === undefined || /^(TS(?!As|NonNull|Satisfies|TypeAssertion|Instantiation))/.test(parent.type))
      return;
    const isKey =
      ['Property', 'MethodDefinition', 'PropertyDefinition'].includes(parent.type) && parent.key === node;
    if (isKey && !parent.computed && !parent.shorthand) return;
    if (parent.type === 'MemberExpression' && parent.property === node && !parent.computed) return;
    this.forbid(node, node.name);
    if (node.name === 'Date' && !isMadeOfSomething(node, parent)) this.say(node, 'reads a clock: Date');
    if (Object.hasOwn(MEMBERS, this.meant(node.name))) this.renamed(node, parent);
  }

  /** Rejects another name for an object with rejected members, or for one of these members. */
  private renamed(node: Node, parent: Node): void {
    const target =
      parent.type === 'VariableDeclarator' && parent.init === node
        ? parent.id
        : parent.type === 'AssignmentExpression' && parent.right === node
          ? parent.left
          : undefined;
    if (target === undefined) return;
    if (target.type !== 'ObjectPattern') this.say(node, `gives another name to ${this.meant(node.name)}`);
    else
      for (const { type, key } of target.properties) {
        const name = type === 'RestElement' ? undefined : nameOf(key);
        const why = name === undefined ? 'takes unknown members' : MEMBERS[this.meant(node.name)]![name];
        if (why !== undefined) this.say(node, `${why}: ${this.meant(node.name)}.${name ?? '…'}`);
      }
  }

  private member({ object, property, computed }: Node): void {
    const name = computed ? textOf(property) : property.name;
    const of =
      object.type === 'MemberExpression' ? nameOf(object.property) : this.meant(nameOf(object) ?? '');
    if (name !== undefined) this.forbid(property, name);
    else if (of !== undefined && (of in MEMBERS || of === 'globalThis'))
      this.say(object, `takes an unknown member: ${of}[…]`);
    const why = of === undefined || name === undefined ? undefined : MEMBERS[of]?.[name];
    if (why !== undefined) this.say(property, `${why}: ${of}.${name}`);
  }

  private limits(call: Node): void {
    const callee = last(call.callee);
    const isTest = this.isTest(call.callee);
    if (!isTest && !CALLS.includes(callee ?? '')) return;
    for (const [at, argument] of call.arguments.entries()) {
      const options =
        argument.type === 'Identifier' ? (this.constants.get(argument.name) ?? argument) : argument;
      if (options.type === 'ObjectExpression')
        for (const { key, value } of options.properties)
          if (key && /^(timeout|testTimeout|hookTimeout)$/.test(nameOf(key) ?? '')) this.limit(value);
      if (isTest && at > 0 && this.isNumber(argument)) this.limit(argument);
    }
  }

  private limit(value: Node): void {
    if (this.atLeast(value) < LIMIT)
      this.say(value, `has a limit that may be shorter than ${LIMIT / 1000} s`);
  }

  private text(node: Node, parts: readonly string[]): void {
    for (const part of parts)
      for (const [found, seconds] of part.replace(UNTIL, '').matchAll(/\bsleep[ (]+([\d.]*)/g))
        if (Number.parseFloat(seconds || '0') < FOREVER) this.say(node, `sleeps for a time: ${found}`);
  }

  /** True for vitest's functions and what is made from them: `it.each(…)`, `describe.skipIf(…)`. */
  private isTest(node: Node): boolean {
    const name = root(node);
    return name !== undefined && this.tests.has(name);
  }

  private isNumber(node: Node): boolean {
    if (node.type === 'Literal') return typeof node.value === 'number';
    if (node.type === 'BinaryExpression') return this.isNumber(node.left) || this.isNumber(node.right);
    if (node.type === 'CallExpression') return root(node.callee) === 'Math';
    const value = node.type === 'Identifier' ? this.constants.get(node.name) : undefined;
    return value !== undefined && value !== node && this.isNumber(value);
  }

  /** The least value the expression can have; 0 when the file does not tell. */
  private atLeast(node: Node, seen: readonly string[] = []): number {
    switch (node.type) {
      case 'Literal':
        return typeof node.value === 'number' ? node.value : 0;
      case 'BinaryExpression': {
        const [left, right] = [this.atLeast(node.left, seen), this.atLeast(node.right, seen)];
        return node.operator === '+' ? left + right : node.operator === '*' ? left * right : 0;
      }
      case 'CallExpression':
        return last(node.callee) === 'max'
          ? Math.max(...node.arguments.map((each: Node) => this.atLeast(each, seen)))
          : 0;
      case 'Identifier': {
        const value = seen.includes(node.name) ? undefined : this.constants.get(node.name);
        return value === undefined ? 0 : this.atLeast(value, [...seen, node.name]);
      }
      default:
        return 0;
    }
  }

  private meant(name: string): string {
    return this.imported.get(name) ?? name;
  }

  private forbid(node: Node, name: string | undefined): void {
    if (name !== undefined && Object.hasOwn(NAMES, name)) this.say(node, `${NAMES[name]}: ${name}`);
  }

  private say({ start }: Node, what: string): void {
    this.found.push({ line: this.source.slice(0, start).split('\n').length, what });
  }
}

/** `new Date(x)`, `Date.parse`, `x instanceof Date`. */
function isMadeOfSomething(node: Node, parent: Node): boolean {
  if (parent.type === 'NewExpression') return parent.arguments.length > 0 && parent.callee === node;
  if (parent.type === 'MemberExpression' && parent.object === node)
    return OF_A_DATE.includes(parent.computed ? (textOf(parent.property) ?? '') : parent.property.name);
  return parent.type === 'BinaryExpression' && parent.operator === 'instanceof';
}

function each(node: Node, act: (node: Node, parent: Node | undefined) => void, parent?: Node): void {
  act(node, parent);
  for (const [key, value] of Object.entries(node)) {
    if (key === 'parent') continue;
    for (const child of [value].flat()) if (isNode(child)) each(child, act, node);
  }
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

const textOf = (node: Node): string | undefined =>
  node.type === 'Literal' && typeof node.value === 'string'
    ? node.value
    : node.type === 'TemplateLiteral' && node.expressions.length === 0
      ? node.quasis[0].value.cooked
      : undefined;

const nameOf = (node: Node): string | undefined => (node.type === 'Identifier' ? node.name : textOf(node));

/** The first name of a callee: `it` of `it.skipIf(x).each(y)`. */
function root(node: Node): string | undefined {
  if (node.type === 'Identifier') return node.name;
  const inner = node.object ?? node.callee ?? node.tag;
  return inner === undefined ? undefined : root(inner);
}

/** The last name of a callee: `callTool` of `client.callTool`. */
const last = (node: Node): string | undefined =>
  node.type === 'MemberExpression' ? nameOf(node.property) : nameOf(node);
