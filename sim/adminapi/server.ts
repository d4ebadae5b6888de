import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { Host } from '../host/host.js';
import { isStream } from './exchange.js';
import { MAX_REQUEST } from './messages.js';

export interface AdminApiServer {
  close(): Promise<void>;
}

/**
 * The daemon's socket: each connection carries one request, which is read to its end and answered. Members of the group may
 * connect; as on a real host, the file's mode is the only guard.
 */
export async function serveAdminApi(
  host: Host,
  socketPath: string,
  options: { mode?: number } = {},
): Promise<AdminApiServer> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    serve(host, socket);
  });
  rmSync(socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  chmodSync(socketPath, options.mode ?? 0o770);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

function serve(host: Host, socket: Socket): void {
  const chunks: Buffer[] = [];
  let length = 0;
  const hangUp = new AbortController();
  // A disconnected caller does not stop its call; only streams end with their caller.
  socket.on('close', () => hangUp.abort());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    length += chunk.length;
    if (length > MAX_REQUEST) {
      chunks.length = 0;
      socket.destroy();
    } else chunks.push(chunk);
  });
  socket.on('end', () => {
    const request = Buffer.concat(chunks);
    const done = isStream(request)
      ? host.stream(request, (bytes) => socket.write(bytes), hangUp.signal)
      : host.call(request).then((reply) => {
          if (reply.length > 0 && socket.writable) socket.write(reply);
        });
    done.then(
      () => socket.end(),
      () => socket.destroy(),
    );
  });
}
