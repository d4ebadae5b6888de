/** The parts of the MCP SDK that only a server over HTTP needs. */
export { toNodeHandler } from '@modelcontextprotocol/node';
export {
  createMcpHandler,
  type EventStore,
  InMemoryServerEventBus,
  isInitializeRequest,
  isLegacyRequest,
  type JSONRPCMessage,
  type ServerEvent,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server';
