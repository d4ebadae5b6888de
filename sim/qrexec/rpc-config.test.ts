import { describe, expect, it } from 'vitest';
import { DEFAULTS, parseRpcConfig } from './rpc-config.js';
import { tcpAddress } from './tcp.js';

describe('the rpc-config of a service', () => {
  for (const [text, config] of [
    ['', DEFAULTS],
    ['# why\n\nskip-service-descriptor = true  # here too\n', { ...DEFAULTS, skipServiceDescriptor: true }],
    [
      'skip-service-descriptor=true\r\nexit-on-client-eof=true',
      { skipServiceDescriptor: true, exitOnClientEof: true },
    ],
    ["force-user='user'\nwait-for-session=1\n", DEFAULTS],
    ["some-day = 'unknown keys are left alone'\n", DEFAULTS],
  ] as const)
    it(`rpc-config accepts ${JSON.stringify(text)}`, () => {
      expect(parseRpcConfig(text)).toEqual(config);
    });

  for (const text of [
    'skip-service-descriptor',
    'skip-service-descriptor = yes',
    "skip-service-descriptor = 'true'",
    'skip-service-descriptor = 1',
    'skip-service-descriptor = true false',
    ' skip-service-descriptor = true',
    'skip-service-descriptor = true\nskip-service-descriptor = true',
    'force-user = "user"',
    "force-user = '''user'''",
    "force-user = 'user",
    'force-user = 01',
    "force-user = 'user'\nskip-service-descriptor = true",
    '[section]',
    'x',
  ])
    it(`rpc-config rejects ${JSON.stringify(text)}`, () => {
      expect(parseRpcConfig(text)).toBeUndefined();
    });
});

describe('a link to /dev/tcp', () => {
  for (const [link, argument, address] of [
    ['/127.0.0.1/80', '', { host: '127.0.0.1', port: 80 }],
    ['/127.0.0.1', '80', { host: '127.0.0.1', port: 80 }],
    ['', '127.0.0.1+80', { host: '127.0.0.1', port: 80 }],
    ['', '++1+80', { host: '::1', port: 80 }],
    ['/127.0.0.1/80', '81', undefined],
    ['/127.0.0.1', '', undefined],
    ['/127.0.0.1', '080', undefined],
    ['/127.0.0.1', '65536', undefined],
    ['/localhost/80', '', undefined],
    ['', '80', undefined],
    ['', '', undefined],
    ['/', '80', undefined],
  ] as const)
    it(`the link ${JSON.stringify(link)} with ${JSON.stringify(argument)} leads ${address ? `to ${address.host}, ${address.port}` : 'nowhere'}`, () => {
      expect(tcpAddress(link, argument)).toEqual(address);
    });
});
