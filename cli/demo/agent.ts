import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { VERSION } from '../../core/version.js';

const COMMAND = fileURLToPath(new URL('../../../cli/qmcp.js', import.meta.url));

/** The answer to a call: a result or a refusal, with its bytes for comparison. */
export interface Answer {
  readonly refused: boolean;
  readonly value: Record<string, unknown>;
  readonly text: string;
  readonly bytes: string;
}

/** An agent's end of an MCP connection to `qmcp serve`, over real standard input and output. */
export class Agent {
  private constructor(private readonly client: Client) {}

  /** `qrexecClient` is the executable through which the server reaches its host. */
  static async connect(qrexecClient: string): Promise<Agent> {
    const client = new Client({ name: 'qmcp-demo', version: VERSION });
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [COMMAND, 'serve', '--host', 'qubes', '--client', qrexecClient],
      stderr: 'inherit',
    });
    await client.connect(transport);
    return new Agent(client);
  }

  get protocol(): string {
    return this.client.getNegotiatedProtocolVersion() ?? 'unknown';
  }

  async tools() {
    return (await this.client.listTools()).tools;
  }

  async call(name: string, args: Record<string, unknown>): Promise<Answer> {
    const result = await this.client.callTool({ name, arguments: args });
    const [block] = result.content;
    return {
      refused: result.isError === true,
      value: result.structuredContent as Record<string, unknown>,
      text: block?.type === 'text' ? block.text : '',
      bytes: JSON.stringify(result),
    };
  }

  async leave(): Promise<void> {
    await this.client.close();
  }
}
