import { type Content, REFUSALS, Refused, type Session } from '../api/index.js';
import { inScope } from '../serve/scope.js';
import type { ServedResource, Surface } from '../serve/served.js';
import { ProtocolError, ProtocolErrorCode, ResourceNotFoundError, type Server } from '../vendor/mcp.js';

/** Answers requests about resources: those with one address, and those with a template of addresses. */
export function answerResources(
  server: Server,
  { resources }: Pick<Surface, 'resources'>,
  session: Session,
): void {
  server.setRequestHandler('resources/list', async (_request, { mcpReq }) => {
    const listed = async (entry: ServedResource) => {
      const uris = await entry.list({ signal: mcpReq.signal, session }).catch(protocolError);
      return uris.map((uri) => listEntry(entry, uri));
    };
    return { resources: (await inScope(session, () => Promise.all(resources.map(listed)))).flat() };
  });

  server.setRequestHandler('resources/templates/list', () => ({
    resourceTemplates: resources
      .filter(({ resource }) => resource.uri.includes('{'))
      .map(({ resource: { uri, name, title, description, mimeType } }) => ({
        uriTemplate: uri,
        name,
        title,
        description,
        mimeType,
      })),
  }));

  server.setRequestHandler('resources/read', async ({ params: { uri } }, { mcpReq }) => {
    for (const entry of resources) {
      const variables = entry.match(uri);
      if (variables === undefined) continue;
      const context = { signal: mcpReq.signal, session };
      const content = await inScope(session, () => entry.read(variables, context)).catch((error) =>
        protocolError(error, uri),
      );
      return { contents: [{ uri, mimeType: entry.resource.mimeType, ...bodyOf(content) }] };
    }
    return protocolError(new Refused('not-found'), uri);
  });
}

function listEntry({ resource: { uri: own, name, title, mimeType } }: ServedResource, uri: string) {
  // One of several addresses of a template is named by the part after the scheme.
  return { uri, name: uri === own ? name : uri.slice(uri.indexOf('://') + 3), title, mimeType };
}

function bodyOf(content: Content): { text: string } | { blob: string } {
  return 'text' in content ? { text: content.text } : { blob: Buffer.from(content.bytes).toString('base64') };
}

/**
 * Only tools have error results, so a refusal of anything else is a protocol error: the code and its fixed sentence, and the
 * address where the protocol requires it.
 */
export function protocolError(error: unknown, uri?: string): never {
  const { code } = error instanceof Refused ? error : new Refused('failed');
  const sentence = `${code}: ${REFUSALS[code]}`;
  if (code === 'not-found' && uri !== undefined) throw new ResourceNotFoundError(uri, sentence);
  const kind = code === 'invalid-request' ? ProtocolErrorCode.InvalidParams : ProtocolErrorCode.InternalError;
  throw new ProtocolError(kind, sentence, { code });
}
