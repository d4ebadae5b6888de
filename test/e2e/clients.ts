import { Client as ClientV2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { QMCP } from '../support/qmcp.js';

export interface Result {
  readonly isError?: boolean;
  readonly structuredContent?: Record<string, unknown>;
}

/** What the tests need of a client, whichever SDK it comes from. */
export interface AnyClient {
  readonly protocol: string | undefined;
  tools(): Promise<{ name: string }[]>;
  call(name: string, args?: Record<string, unknown>): Promise<Result>;
  close(): Promise<void>;
}

const me = { name: 'interop', version: '0' };
const command = (args: readonly string[]) => ({
  command: process.execPath,
  args: [QMCP, 'serve', ...args],
  stderr: 'ignore' as const,
});

export async function v2(
  args: readonly string[],
  mode: 'legacy' | 'auto' | { pin: string },
): Promise<AnyClient> {
  const client = new ClientV2(me, { versionNegotiation: { mode } });
  await client.connect(new StdioV2(command(args)));
  return {
    protocol: client.getNegotiatedProtocolVersion(),
    tools: async () => (await client.listTools()).tools,
    call: async (name, args = {}) => (await client.callTool({ name, arguments: args })) as Result,
    close: () => client.close(),
  };
}

export async function v1(args: readonly string[]): Promise<AnyClient> {
  const client = new ClientV1(me);
  const transport = new StdioV1(command(args));
  let protocol: string | undefined;
  const connected = Object.assign(transport, {
    setProtocolVersion: (version: string) => {
      protocol = version;
    },
  });
  await client.connect(connected as Parameters<typeof client.connect>[0]);
  return {
    protocol,
    tools: async () => (await client.listTools()).tools,
    call: async (name, args = {}) => (await client.callTool({ name, arguments: args })) as Result,
    close: () => client.close(),
  };
}
