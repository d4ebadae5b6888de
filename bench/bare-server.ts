/** A minimal MCP server with a few tools, as the baseline for `qmcp serve`. */
import { Server } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

const tools = Array.from({ length: 7 }, (_, index) => ({
  name: `tool_${index}`,
  description: 'Does nothing.',
  inputSchema: { type: 'object' as const, properties: { qube: { type: 'string' } } },
}));

serveStdio(() => {
  const server = new Server({ name: 'bare', version: '1.0.0' }, { capabilities: { tools: {} } });
  server.setRequestHandler('tools/list', () => ({ tools }));
  return server;
});
