import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { OAuthClients } from './oauth.js';

const ISSUER = 'https://issuer.example';
const AUDIENCE = 'https://qmcp.example/mcp';
const NOW = new Date('2026-01-01T00:00:00Z');
const seconds = NOW.getTime() / 1000;

type Keys = Awaited<ReturnType<typeof generateKeyPair>>;
let [ours, foreign]: Keys[] = [];
let jwks: unknown;
beforeAll(async () => {
  [ours, foreign] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);
  jwks = { keys: [{ ...(await exportJWK(ours.publicKey)), alg: 'ES256', kid: 'one' }] };
});

const clients = () => new OAuthClients({ issuer: ISSUER, audience: AUDIENCE, keys: { jwks } }, () => NOW);
const CLAIMS: JWTPayload = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: 'ada',
  client_id: 'editor',
  scope: 'openid qmcp:call',
  exp: seconds + 60,
};

/** Claims; undefined leaves one out. */
type Changes = { readonly [K in keyof JWTPayload]?: unknown };

const signed = (changes: Changes = {}, { privateKey }: Keys = ours!, header: object = {}) =>
  new SignJWT({ ...CLAIMS, ...changes } as JWTPayload)
    .setProtectedHeader({ alg: 'ES256', kid: 'one', ...header })
    .sign(privateKey);

describe('a token of the authorization server', () => {
  test('is good for all tools with the scope qmcp:call, and for those that read with qmcp:read', async () => {
    const all = await clients().verify(await signed());
    expect(all).toMatchObject({ client: { name: 'oauth:ada', rights: { readOnly: false } } });
    const reading = await clients().verify(await signed({ scope: 'qmcp:read' }));
    expect(reading).toMatchObject({ client: { rights: { readOnly: true } } });
    const list = await clients().verify(await signed({ scope: undefined, scp: ['qmcp:read'] }));
    expect(list).toMatchObject({ client: { rights: { readOnly: true } } });
  });

  test('without such a scope is refused for its scope, and says which one it needs', async () => {
    for (const scope of [undefined, '', 'openid', 'qmcp:callx', 7])
      expect(await clients().verify(await signed({ scope }))).toEqual({
        refused: 'scope',
        why: 'The token needs the scope qmcp:read or qmcp:call.',
      });
  });

  test('that is renewed stands for the same client; another subject, program or scope does not', async () => {
    const known = clients();
    const clientOf = async (changes: Changes) => {
      const verdict = await known.verify(await signed(changes));
      return 'client' in verdict ? verdict.client : undefined;
    };
    const first = await clientOf({});
    expect(await clientOf({ exp: seconds + 600 })).toBe(first);
    for (const changes of [{ sub: 'bob' }, { client_id: 'other' }, { scope: 'qmcp:read' }]) {
      const other = await clientOf(changes);
      expect(other).toBeDefined();
      expect(other!.session).not.toBe(first!.session);
    }
  });

  test.each<[string, Changes, string]>([
    ['has expired', { exp: seconds - 31 }, 'has expired'],
    ['is not valid yet', { nbf: seconds + 31 }, 'claim nbf'],
    ['is for another server', { aud: 'https://other.example/mcp' }, 'claim aud'],
    ['is for no server', { aud: undefined }, 'claim aud'],
    ['has another issuer', { iss: 'https://other.example' }, 'claim iss'],
    ['never expires', { exp: undefined }, 'claim exp'],
    ['is of nobody', { sub: undefined }, 'claim sub'],
  ])('that %s is refused, and its sender is told so', async (_what, changes, why) => {
    expect(await clients().verify(await signed(changes))).toMatchObject({
      refused: 'invalid',
      why: expect.stringContaining(why),
    });
  });

  test('that the issuer has not signed is refused, whatever it says of itself', async () => {
    const refused = { refused: 'invalid' };
    expect(await clients().verify(await signed({}, foreign))).toMatchObject(refused);
    expect(await clients().verify(await signed({}, ours, { kid: 'two' }))).toMatchObject(refused);
    const none = new UnsecuredJWT(CLAIMS).encode();
    expect(clients().takes(none)).toBe(false);
    expect(await clients().verify(none)).toMatchObject(refused);
    const [head, , signature] = (await signed()).split('.');
    const body = Buffer.from(JSON.stringify({ ...CLAIMS, sub: 'root' })).toString('base64url');
    expect(await clients().verify(`${head}.${body}.${signature}`)).toMatchObject(refused);
    // A key that everybody knows must not count as a shared secret.
    const secret = new TextEncoder().encode(JSON.stringify(jwks));
    const shared = await new SignJWT(CLAIMS).setProtectedHeader({ alg: 'HS256', kid: 'one' }).sign(secret);
    expect(await clients().verify(shared)).toMatchObject(refused);
  });

  test('is not refused for good when the keys of the issuer cannot be read', async () => {
    const away = new OAuthClients(
      { issuer: ISSUER, audience: AUDIENCE, keys: { url: 'https://127.0.0.1:1/keys' } },
      () => NOW,
    );
    expect(await away.verify(await signed())).toMatchObject({ refused: 'unavailable' });
  });

  test('has the form of one: three parts', () => {
    for (const [text, takes] of [
      ['a.b.c', true],
      ['a-token-of-the-operator', false],
      ['a.b', false],
      ['a.b.c.d', false],
    ] as const)
      expect([text, clients().takes(text)]).toEqual([text, takes]);
  });

  test('of malformed keys is an error at the start', () => {
    expect(() => new OAuthClients({ issuer: ISSUER, audience: AUDIENCE, keys: { jwks: [] } })).toThrow();
  });
});
