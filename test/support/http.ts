import { request } from 'node:http';
import { request as secureRequest } from 'node:https';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** The headers that a client of MCP sends. */
export const MCP = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};

/** One request to a server at an address, byte for byte as it is given. */
export function ask(
  url: string,
  headers: Record<string, string>,
  { path = '/mcp', method = 'POST', body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' } = {},
): Promise<Answer> {
  const { hostname, port, protocol } = new URL(url);
  return new Promise((resolve, reject) => {
    const options = { hostname, port, path, method, headers, rejectUnauthorized: false };
    const sent = (protocol === 'https:' ? secureRequest : request)(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.once('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: text }),
      );
    });
    sent.once('error', reject);
    sent.end(method === 'POST' ? body : undefined);
  });
}

/** The result in the answer to a request of MCP. */
export function resultIn({ body }: Answer): Record<string, unknown> {
  const text = /^data: ?(\{.*)$/m.exec(body)?.[1] ?? body;
  return JSON.parse(text).result;
}

export const messageIn = ({ body }: Answer): string => JSON.parse(body).error.message;
