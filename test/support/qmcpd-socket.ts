import { connect } from 'node:net';
import { join } from 'node:path';

/** The service with the argument that a call on this target has; a service with a plus has one already. */
export function addressed(service: string, target: string): string {
  const isAboutQube = service.startsWith('qmcp.') && !target.startsWith('@');
  return service.includes('+') || !isAboutQube ? service : `${service}+${target}`;
}

/** The service descriptor that qrexec sends before the payload. */
export function descriptor(service: string, source: string, target: string): Buffer {
  const where = target === '@adminvm' ? 'keyword adminvm' : `name ${target}`;
  const called = addressed(service, target);
  return Buffer.from(`${called}${called.includes('+') ? '' : '+'} ${source} ${where}\0`);
}

/** Sends these bytes and end of file to qmcpd's socket, past qrexec and its policy. Resolves after the reply. */
export function sendToQmcpd(
  root: string,
  bytes: Uint8Array,
  onBytes: (bytes: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: join(root, 'run/qmcp/qmcpd.sock'), allowHalfOpen: true });
    const disconnect = () => socket.destroy();
    signal?.addEventListener('abort', disconnect, { once: true });
    socket.on('data', onBytes);
    socket.on('end', disconnect);
    socket.on('error', reject);
    socket.on('close', () => {
      signal?.removeEventListener('abort', disconnect);
      resolve();
    });
    socket.end(bytes);
  });
}
