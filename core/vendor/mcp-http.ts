/** The parts of the MCP SDK that only a server over HTTP needs. */
export { toNodeHandler } from '@modelcontextprotocol/node';
export { createMcpHandler, InMemoryServerEventBus, type ServerEvent } from '@modelcontextprotocol/server';
