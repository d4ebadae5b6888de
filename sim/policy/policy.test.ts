import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { packageFile } from '../root.js';
import { evaluate } from './evaluate.js';
import { loadPolicy, type PolicyFiles, policyOf } from './load.js';
import { PolicySyntaxError } from './rule.js';
import { compare, readCases } from './verdicts.js';

const system = {
  dom0: { type: 'AdminVM', tags: [], power_state: 'Running' },
  work: { type: 'AppVM', tags: ['t'], power_state: 'Running', default_dispvm: 'dvm', uuid: 'w' },
  vault: { type: 'AppVM', tags: ['u'], power_state: 'Halted', default_dispvm: null, uuid: 'v' },
  dvm: { type: 'AppVM', tags: ['t'], power_state: 'Halted', template_for_dispvms: true, uuid: 'd' },
  remote: { type: 'RemoteVM', tags: [], power_state: 'Running', relayvm: 'vault', transport_rpc: 'carry.It' },
  lost: { type: 'RemoteVM', tags: [], power_state: 'Running', relayvm: 'vault', transport_rpc: null },
};
const verdict = (text: string, target: string, source = 'work') => {
  const result = evaluate(policyOf({ '10-a.policy': text }), system, {
    service: 'a.B',
    argument: '',
    source,
    target,
  });
  return result.verdict === 'allow' ? `allow ${result.target}` : result.verdict;
};

describe('the recorded verdicts', () => {
  it('every verdict equals the one recorded from the real policy daemon', () => {
    const text = readFileSync(packageFile('test/recordings/qrexec-verdicts.jsonl'), 'utf8');
    const { matching: agree, of, differences } = compare(readCases(text));
    expect(differences).toEqual([]);
    expect(of).toBeGreaterThan(2900);
    expect(agree).toBe(of);
  });
});

describe('evaluation of the policy', () => {
  it('the first matching rule decides, and a call without one is denied', () => {
    expect(verdict('a.B * work vault allow\na.B * work vault deny', 'vault')).toBe('allow vault');
    expect(verdict('a.C * work vault allow', 'vault')).toBe('deny');
  });

  it('a name that does not exist is read as @default', () => {
    expect(verdict('a.B * work @default allow target=vault', 'tpyo')).toBe('allow vault');
    expect(verdict('a.B * work tpyo allow', 'tpyo')).toBe('deny');
  });

  it('no rule connects a qube to itself', () => {
    expect(verdict('* * * * allow', 'work')).toBe('deny');
  });

  it('@anyvm means everything except dom0, also the keywords', () => {
    for (const target of ['vault', '@dispvm', '@dispvm:dvm', '@default'])
      expect(verdict('a.B * work @anyvm allow target=vault', target)).toBe('allow vault');
    for (const target of ['dom0', '@adminvm'])
      expect(verdict('a.B * work @anyvm allow', target)).toBe('deny');
  });

  it('a tag does not match a disposable that is only requested', () => {
    expect(verdict('a.B * work @tag:t allow', '@dispvm:dvm')).toBe('deny');
    expect(verdict('a.B * work @dispvm:@tag:t allow', '@dispvm')).toBe('allow @dispvm:dvm');
  });

  it('a keyword that only a rule may have is not accepted as a target', () => {
    for (const target of ['*', '@anyvm', '@tag:t', '@type:AppVM', '@dispvm:@tag:t', '@dispvm:', '@nonsense'])
      expect(verdict('* * * * allow target=vault', target)).toBe('deny');
  });

  it('a uuid is accepted wherever a name is', () => {
    for (const rule of [
      'a.B * work uuid:v allow',
      `a.B * uuid:w vault allow`,
      'a.B * work work allow target=uuid:v',
    ])
      expect(verdict(rule, rule.includes('target=') ? 'work' : 'vault')).toMatch(/^allow (vault|uuid:v)$/);
    expect(verdict('a.B * work vault allow', 'uuid:v')).toBe('allow uuid:v');
    expect(verdict('a.B * work @tag:u allow', 'uuid:v')).toBe('allow uuid:v');
    expect(verdict('a.B * work @default allow target=vault', 'uuid:nobody')).toBe('allow vault');
    expect(verdict('a.B * work @dispvm:uuid:d allow', '@dispvm:dvm')).toBe('allow @dispvm:dvm');
    expect(verdict('a.B * work @dispvm:uuid:d allow', '@dispvm')).toBe('deny');
  });

  it('a call for which the first matching rule has no answer is denied, even if a later rule would allow it', () => {
    const later = '\n* * * * allow target=vault';
    expect(verdict(`a.B * vault @dispvm:dvm allow${later}`, '@dispvm', 'vault')).toBe('deny');
    expect(verdict(`a.B * work vault ask\na.B * work @dispvm:gone allow${later}`, 'vault')).toBe('deny');
    expect(verdict(`a.B * work vault ask${later}`, 'vault')).toBe('ask');
  });

  it('a call to a remote qube goes to its relay, as a call of the transport service', () => {
    const result = evaluate(policyOf({ '10-a.policy': 'a.B * work remote allow user=root' }), system, {
      service: 'a.B',
      argument: 'x',
      source: 'work',
      target: 'remote',
    });
    expect(result).toMatchObject({ target: 'vault', instead: 'carry.It+remote+a.B+x', user: null });
    expect(verdict('a.B * work lost allow', 'lost')).toBe('deny');
  });

  it('autostart=no starts no qube', () => {
    expect(verdict('a.B * work vault allow autostart=no', 'vault')).toBe('deny');
    expect(verdict('a.B * work @dispvm allow autostart=no', '@dispvm')).toBe('deny');
    expect(verdict('a.B * vault work allow autostart=no', 'work', 'vault')).toBe('allow work');
  });
});

describe('an invalid policy', () => {
  for (const [what, text] of Object.entries({
    'a trailing comment': 'a.B * work vault allow # why',
    'a glob': 'a.* * work vault allow',
    'an argument without plus': 'a.B x work vault allow',
    'an argument for every service': '* +x work vault allow',
    'an unknown keyword': 'a.B * @work vault allow',
    'a disposable as source': 'a.B * @dispvm vault allow',
    '@default as source': 'a.B * @default vault allow',
    'a tag as redirect': 'a.B * work vault allow target=@tag:t',
    'an upper-case action': 'a.B * work vault Allow',
    'too few fields': 'a.B * work vault',
    'a parameter twice': 'a.B * work vault allow user=a user=b',
    'a parameter of another action': 'a.B * work vault deny user=a',
    'a boolean of its own': 'a.B * work vault allow notify=true',
    'allow on @default without a target': 'a.B * work @default allow',
    'an unknown directive': '!include-all x',
    'an include that is not there': '!include nowhere',
  }))
    it(`a policy with ${what} is invalid`, () => {
      expect(() => policyOf({ '10-a.policy': text })).toThrow(PolicySyntaxError);
      expect(() => policyOf({ '10-a.policy': '* * * * allow', '20-b.policy': text })).toThrow(
        /20-b.policy:1/,
      );
    });

  it('a policy with a file of a bad name is invalid', () => {
    expect(() => policyOf({ 'A.policy': '' })).toThrow(/invalid file name/);
  });

  it('a policy that includes itself is invalid', () => {
    expect(() => policyOf({ '10-a.policy': '!include 10-a.policy' })).toThrow(/includes itself/);
  });
});

describe('policy files', () => {
  const disk = (files: Record<string, string>): PolicyFiles => ({
    list: (directory) =>
      Object.keys(files)
        .filter((path) => path.startsWith(`${directory}/`) && !path.slice(directory.length + 1).includes('/'))
        .map((path) => path.slice(directory.length + 1)),
    read: (path) => files[path]!,
    isFile: (path) => path in files,
  });
  const order = (files: Record<string, string>, legacy?: string) =>
    loadPolicy(['/run', '/etc'], { files: disk(files), ...(legacy && { legacy }) }).rules.map(
      ({ service, argument, target, action }) => `${service}${argument ?? ''} ${target.text} ${action}`,
    );

  it('policy files are ordered by base name, and one in /run replaces its namesake in /etc', () => {
    expect(
      order({
        '/etc/20-b.policy': 'b * work vault allow',
        '/etc/10-a.policy': 'a * work vault allow',
        '/run/20-b.policy': 'c * work vault allow',
        '/etc/.hidden.policy': 'nonsense',
        '/etc/notes.txt': 'nonsense',
      }),
    ).toEqual(['a vault allow', 'c vault allow']);
  });

  it('policy texts can be included by their paths, and are not policies of their own in a folder', () => {
    const { rules } = policyOf({
      '10-a.policy': '!include include/x\n!include-dir more',
      'include/x': 'x * work vault allow',
      'more/1.policy': 'm * work vault allow',
      'include/2.policy': 'nonsense',
    });
    expect(rules.map(({ service }) => service)).toEqual(['x', 'm']);
  });

  it('policy words are split where the real parser splits them', () => {
    expect(policyOf({ '10-a.policy': '\x1ca.B\x1f*\x85work\u3000vault\xa0allow' }).rules).toHaveLength(1);
    expect(() => policyOf({ '10-a.policy': '\ufeffa.B * work vault allow' })).toThrow(PolicySyntaxError);
  });

  it('a policy file can include files, directories and services in the old format', () => {
    expect(
      order({
        '/etc/10-a.policy': '!include include/x\n!include-dir more\n!include-service s +y include/old',
        '/etc/include/x': '# why\n\nx * work vault allow',
        '/etc/more/1.policy': 'm * work vault allow',
        '/etc/include/old': '$anyvm $adminvm allow,user=root',
      }),
    ).toEqual(['x vault allow', 'm vault allow', 's+y @adminvm allow']);
  });

  it('a policy file can include the policy of 4.0', () => {
    expect(
      order(
        {
          '/etc/10-a.policy': '!compat-4.0',
          '/old/s': '$anyvm $anyvm ask',
          '/old/s+y': 'work vault allow',
          '/old/s.rpmnew': 'nonsense',
        },
        '/old',
      ),
    ).toEqual(['s+y vault allow', 's+y @anyvm deny', 's+y @adminvm deny', 's @anyvm ask']);
  });
});
