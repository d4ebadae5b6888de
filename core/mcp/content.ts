import type { ContentBlock } from '../api/index.js';

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

/** A block as the protocol has it. */
export function blockOf(block: ContentBlock) {
  switch (block.type) {
    case 'text':
      return { type: 'text' as const, text: block.text };
    case 'image':
    case 'audio':
      return { type: block.type, data: base64(block.bytes), mimeType: block.mimeType };
    case 'link': {
      const { uri, name, description, mimeType } = block;
      const more = { ...(description && { description }), ...(mimeType && { mimeType }) };
      return { type: 'resource_link' as const, uri, name, ...more };
    }
    case 'resource': {
      const { uri, mimeType, content } = block;
      const body = 'text' in content ? { text: content.text } : { blob: base64(content.bytes) };
      return { type: 'resource' as const, resource: { uri, mimeType, ...body } };
    }
  }
}
