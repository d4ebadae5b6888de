/** The MCP SDK, as far as a server over HTTP uses more of it than one on a pipe. */
export { hostHeaderValidation, originValidation, toNodeHandler } from '@modelcontextprotocol/node';
export { createMcpHandler, InMemoryServerEventBus, type ServerEvent } from '@modelcontextprotocol/server';
