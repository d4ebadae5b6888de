/** Checks the access tokens of an OAuth authorization server: this server is a protected resource of it. */
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JWTVerifyGetKey,
  jwtVerify,
} from '../vendor/jose.js';
import { type Client, EVERYTHING, type Rights } from './clients.js';

/** Scopes that a token may have: to call the tools that only read, or all. */
export const SCOPES = { read: 'qmcp:read', all: 'qmcp:call' } as const;

/** Signatures by a key that only the issuer has. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
/** Seconds by which two clocks may differ. */
const CLOCK_SECONDS = 30;
/** The most clients that are remembered. */
const MAX_CLIENTS = 256;

export interface OAuthOptions {
  readonly issuer: string;
  /** The audience that the token must name: by default, the address of this server. */
  readonly audience: string;
  /** The keys of the issuer: the content of a JWKS file, or its address. */
  readonly keys: { readonly jwks: unknown } | { readonly url: string };
}

/** What a token is good for; or why not, in words for its sender. */
export type Verdict =
  | { readonly client: Client }
  | { readonly refused: 'invalid' | 'scope' | 'unavailable'; readonly why: string };

export class OAuthClients {
  private readonly keys: JWTVerifyGetKey;
  /** By subject and client, the latest last. */
  private readonly clients = new Map<string, Client>();

  constructor(
    private readonly options: OAuthOptions,
    private readonly now = () => new Date(),
  ) {
    const { keys } = options;
    this.keys = 'url' in keys ? createRemoteJWKSet(new URL(keys.url)) : createLocalJWKSet(keys.jwks as never);
  }

  /** Whether it has the form of such a token. */
  takes(untrusted_token: string): boolean {
    return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(untrusted_token);
  }

  async verify(untrusted_token: string): Promise<Verdict> {
    const { issuer, audience } = this.options;
    try {
      const { payload } = await jwtVerify(untrusted_token, this.keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_SECONDS,
        requiredClaims: ['exp', 'sub'],
        currentDate: this.now(),
      });
      const rights = rightsOf(payload);
      if (rights === undefined)
        return { refused: 'scope', why: `The token needs the scope ${SCOPES.read} or ${SCOPES.all}.` };
      return { client: this.remember(payload, rights) };
    } catch (error) {
      if (error instanceof errors.JWTExpired) return { refused: 'invalid', why: 'The token has expired.' };
      if (error instanceof errors.JWTClaimValidationFailed)
        return {
          refused: 'invalid',
          why: `The token is not for this server: check its claim ${error.claim}.`,
        };
      if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey)
        return { refused: 'invalid', why: 'The issuer has not signed the token.' };
      if (
        error instanceof errors.JWSInvalid ||
        error instanceof errors.JWTInvalid ||
        error instanceof errors.JOSEAlgNotAllowed
      )
        return { refused: 'invalid', why: 'The token is malformed, or its algorithm is not allowed.' };
      return { refused: 'unavailable', why: 'The keys of the issuer cannot be read at the moment.' };
    }
  }

  /** One client for each subject and program, so that what is kept for it survives the renewal of its token. */
  private remember(payload: Readonly<Record<string, unknown>>, rights: Rights): Client {
    const { sub, client_id = payload.azp } = payload;
    const scope = rights.readOnly ? 'read' : 'all';
    const key = JSON.stringify([sub, client_id ?? null, scope]);
    const client = this.clients.get(key) ?? { name: `oauth:${String(sub)}`, rights, session: {} };
    this.clients.delete(key);
    this.clients.set(key, client);
    if (this.clients.size > MAX_CLIENTS) this.clients.delete(this.clients.keys().next().value!);
    return client;
  }
}

function rightsOf({ scope, scp }: Readonly<Record<string, unknown>>): Rights | undefined {
  const given = typeof scope === 'string' ? scope.split(' ') : Array.isArray(scp) ? scp : [];
  if (given.includes(SCOPES.all)) return EVERYTHING;
  return given.includes(SCOPES.read) ? { readOnly: true } : undefined;
}
