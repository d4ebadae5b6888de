import {
  type Plugin,
  type Ports,
  portOf,
  type Service,
  type Tool,
  type ToolContext,
  type Uses,
} from '../api/index.js';
import { dom0Port } from '../ports/dom0.js';
import type { Gate } from '../ports/gate.js';
import { guestPort } from '../ports/guest.js';
import type { Qrexec } from '../ports/qrexec.js';
import { streamPort } from '../ports/stream.js';
import { type DependencyContainer, container as registry } from '../vendor/tsyringe.js';
import { errorSummary } from './failure.js';

/** A tool whose handler cannot be constructed, and the reason. */
export interface FailedHandler {
  readonly tool: string;
  readonly why: string;
}

/** Runs a tool after its arguments have been checked. */
export type Behaviour = (input: unknown, context: ToolContext) => Promise<unknown>;

/**
 * The parent of every plugin's container. Every plugin could resolve what it held, so it holds nothing. It is not a child of
 * the package's global container, because `@singleton()` and similar decorators of any plugin register classes there.
 */
export function rootContainer(): DependencyContainer {
  return Reflect.construct(registry.constructor, []);
}

/**
 * Everything that one plugin can resolve: the ports of the services it declared. The transport is not in it, and the ports of
 * other plugins are in their own containers.
 */
export class PluginContainer {
  private readonly container: DependencyContainer;

  constructor(
    private readonly plugin: Plugin,
    root: DependencyContainer,
    ways: Ways,
    timeout: number,
  ) {
    this.container = root.createChildContainer();
    for (const service of plugin.services)
      this.container.register(portOf(service), { useValue: makePort(service, ways, timeout) });
    for (const part of plugin.parts ?? []) this.container.registerSingleton(part as never);
  }

  /** The behaviour of each tool, by name. Every handler is constructed now, so that a mistake in one is found before a call. */
  behaviours(): { behaviours: Map<string, Behaviour>; failed: FailedHandler[] } {
    const behaviours = new Map<string, Behaviour>();
    const failed: FailedHandler[] = [];
    for (const tool of this.plugin.tools) {
      try {
        behaviours.set(tool.name, this.behaviour(tool));
      } catch (error) {
        failed.push({ tool: tool.name, why: errorSummary(error) });
      }
    }
    return { behaviours, failed };
  }

  async dispose(): Promise<void> {
    await this.container.dispose();
  }

  /** The plugin's single instance of a class. */
  instance<T>(handler: new (...args: never[]) => T): T {
    if (!this.container.isRegistered(handler as never)) this.container.registerSingleton(handler as never);
    return this.container.resolve<T>(handler as never);
  }

  /** The ports of these services, under the given names. */
  ports<U extends Uses>(uses: U): Ports<U> {
    const entries = Object.entries(uses).map(([name, service]) => [
      name,
      this.container.resolve(portOf(service)),
    ]);
    return Object.freeze(Object.fromEntries(entries)) as Ports<U>;
  }

  private behaviour(tool: Tool): Behaviour {
    if (tool.handler) {
      const instance = this.instance(tool.handler as new (...args: never[]) => { run: Behaviour });
      return (input, context) => instance.run(input, context);
    }
    const ports = this.ports(tool.uses);
    const run = tool.run as (ports: unknown, input: unknown, context: ToolContext) => Promise<unknown>;
    return (input, context) => run(ports, input, context);
  }
}

/** The connections by which the ports of services call. */
export interface Ways {
  readonly qubes: Qrexec;
  readonly dom0: Gate;
}

function makePort(service: Service, { qubes, dom0 }: Ways, timeout: number): unknown {
  if (service.kind === 'guest') return guestPort(service, qubes, timeout);
  if (service.kind === 'stream') return streamPort(service, dom0.long, timeout);
  return dom0Port(service, dom0.short, timeout);
}
