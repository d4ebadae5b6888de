import { Client as ClientV2, StreamableHTTPClientTransport as HttpV2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { QMCP } from '../support/qmcp.js';

export interface Result {
  readonly isError?: boolean;
  readonly structuredContent?: Record<string, unknown>;
}

/** The part of a client's surface that both SDKs share. */
type Looking = Pick<
  ClientV2,
  'listResources' | 'listResourceTemplates' | 'readResource' | 'listPrompts' | 'getPrompt' | 'complete'
>;

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onprogress?: (progress: { message?: string | undefined }) => void;
}

/** The functions of a client that the tests need, for either SDK. */
export interface AnyClient {
  readonly protocol: string | undefined;
  readonly look: Looking;
  tools(): Promise<{ name: string }[]>;
  call(name: string, args?: Record<string, unknown>, options?: CallOptions): Promise<Result>;
  /** Reports changes of this address from now on. */
  hear(uri: string, heard: (uri: string) => void): Promise<void>;
  close(): Promise<void>;
}

const me = { name: 'interop', version: '0' };
/** The arguments of `qmcp serve`, or the address of a server and its token. */
export type Where = readonly string[] | { readonly url: string; readonly token: string };
const over = (where: Where, env: Record<string, string> = {}) =>
  'url' in where
    ? { requestInit: { headers: { authorization: `Bearer ${where.token}` } } }
    : {
        command: process.execPath,
        args: [QMCP, 'serve', ...where],
        stderr: 'ignore' as const,
        env: { ...(process.env as Record<string, string>), ...env },
      };

export async function v2(
  where: Where,
  mode: 'legacy' | 'auto' | { pin: string },
  env: Record<string, string> = {},
): Promise<AnyClient> {
  const client = new ClientV2(me, { versionNegotiation: { mode } });
  const options = over(where, env);
  await client.connect(
    'url' in where ? new HttpV2(new URL(where.url), options as object) : new StdioV2(options as never),
  );
  const protocol = client.getNegotiatedProtocolVersion();
  return {
    protocol,
    look: client,
    tools: async () => (await client.listTools()).tools,
    call: async (name, args = {}, options = {}) =>
      (await client.callTool({ name, arguments: args }, options as object)) as Result,
    hear: async (uri, heard) => {
      client.setNotificationHandler('notifications/resources/updated', ({ params }) => heard(params.uri));
      if (protocol! < '2026') await client.subscribeResource({ uri });
      else await client.listen({ resourceSubscriptions: [uri] });
    },
    close: () => client.close(),
  };
}

export async function v1(where: Where): Promise<AnyClient> {
  const client = new ClientV1(me);
  const options = over(where);
  const transport =
    'url' in where ? new HttpV1(new URL(where.url), options as object) : new StdioV1(options as never);
  let protocol: string | undefined;
  const connected = Object.assign(transport, {
    setProtocolVersion: (version: string) => {
      protocol = version;
    },
  });
  await client.connect(connected as Parameters<typeof client.connect>[0]);
  return {
    protocol,
    look: client as unknown as Looking,
    tools: async () => (await client.listTools()).tools,
    call: async (name, args = {}, options = {}) =>
      (await client.callTool({ name, arguments: args }, undefined, options as object)) as Result,
    hear: async (uri, heard) => {
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => heard(params.uri));
      await client.subscribeResource({ uri });
    },
    close: () => client.close(),
  };
}
