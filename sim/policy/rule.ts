import { parseToken, type Token } from './tokens.js';

/** An invalid policy. While there is one, every call on the host is denied. */
export class PolicySyntaxError extends Error {
  override readonly name = 'PolicySyntaxError';
  constructor(
    readonly file: string,
    readonly line: number,
    problem: string,
  ) {
    super(`${file}:${line}: ${problem}`);
  }
}

export interface Rule {
  readonly file: string;
  readonly line: number;
  /** null for `*`. */
  readonly service: string | null;
  /** With its `+`; null for `*`. */
  readonly argument: string | null;
  readonly source: Token;
  readonly target: Token;
  readonly action: 'allow' | 'deny' | 'ask';
  readonly redirect: Token | null;
  readonly defaultTarget: Token | null;
  readonly user: string | null;
  readonly notify: boolean;
  readonly autostart: boolean;
}

const PARAMETERS = {
  allow: ['target', 'user', 'notify', 'autostart'],
  ask: ['target', 'default_target', 'user', 'notify', 'autostart'],
  deny: ['notify'],
} as const;
const YES_OR_NO = ['notify', 'autostart'];
const SERVICE = /^[A-Za-z0-9._-]+$/;
const ARGUMENT = /^\+[A-Za-z0-9._+-]*$/;

export type Words = readonly string[];

/** `SERVICE ARGUMENT SOURCE TARGET ACTION [key=value ...]` */
export function parseRule(words: Words, file: string, line: number): Rule {
  const fail = (problem: string): never => {
    throw new PolicySyntaxError(file, line, problem);
  };
  const [service, argument, source, target, action, ...parameters] = words;
  if (
    service === undefined ||
    argument === undefined ||
    source === undefined ||
    target === undefined ||
    action === undefined
  )
    return fail('a rule has at least five fields');
  const called = parseService(service, argument, file, line);
  if (action !== 'allow' && action !== 'deny' && action !== 'ask')
    return fail(`${action} is not an action; there are allow, ask and deny`);
  const given = new Map<string, string>();
  for (const parameter of parameters) {
    const [, key, value] = /^([^=]*)=(.*)$/s.exec(parameter) ?? fail(`${parameter} is not key=value`);
    if (given.has(key!)) fail(`${key} is given twice`);
    if (!(PARAMETERS[action] as readonly string[]).includes(key!)) fail(`${action} takes no ${key}`);
    if (YES_OR_NO.includes(key!) && value !== 'yes' && value !== 'no') fail(`${key} is yes or no`);
    given.set(key!, value!);
  }
  const token = (text: string, place: 'source' | 'target' | 'redirect'): Token =>
    parseToken(text, place) ?? fail(`${text} is not a ${place}`);
  const redirect = given.has('target') ? token(given.get('target')!, 'redirect') : null;
  const rule: Rule = {
    file,
    line,
    ...called,
    source: token(source, 'source'),
    target: token(target, 'target'),
    action,
    redirect,
    defaultTarget: given.has('default_target') ? token(given.get('default_target')!, 'redirect') : null,
    user: given.get('user') || null,
    notify: given.has('notify') ? given.get('notify') === 'yes' : action === 'deny',
    autostart: given.get('autostart') !== 'no',
  };
  if (action === 'allow' && target === '@default' && redirect === null)
    fail('allow on @default needs target=');
  return rule;
}

/** The first two columns, which `!include-service` also has. */
export function parseService(
  service: string,
  argument: string,
  file: string,
  line: number,
): { service: string | null; argument: string | null } {
  if (service !== '*' && !SERVICE.test(service))
    throw new PolicySyntaxError(file, line, `${service} is not the name of a service`);
  if (argument !== '*' && !ARGUMENT.test(argument))
    throw new PolicySyntaxError(file, line, `${argument} is not *, + or +argument`);
  if (service === '*' && argument !== '*')
    throw new PolicySyntaxError(file, line, 'the service * takes the argument * only');
  return { service: service === '*' ? null : service, argument: argument === '*' ? null : argument };
}
