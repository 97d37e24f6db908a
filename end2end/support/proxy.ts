/** A reverse proxy on this machine, like an operator's. It tells the server the client's address. */

import { Agent, createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Names the network of a test's browser. The proxy treats it as the peer's address and strips the header. */
const NETWORK = 'x-test-network';
/** The network of requests that name none. */
const SOMEWHERE = '203.0.113.1';
const MINUTE_MS = 60_000;

/** A request that passed through the proxy, and its answer if one came in time. */
export type Passed = {
  /** The time by the test's own clock, in milliseconds. */
  at: number;
  network: string;
  method: string;
  path: string;
  status?: number;
  /** The `RateLimit` header: which limits counted the request. */
  limits?: string;
};

export type Proxy = {
  url: string;
  log: Passed[];
  /** Sets the server that requests go to. */
  leadTo: (server: string) => void;
  stop: () => Promise<void>;
};

/** The options of a browser in this network. */
export const inNetwork = (address: string) => ({ extraHTTPHeaders: { [NETWORK]: address } });

/** Listens at once, because the server has to know the proxy's address before it starts. */
export async function startProxy(): Promise<Proxy> {
  const log: Passed[] = [];
  // Each request gets a connection of its own. The server could close a kept connection just when it is used again.
  const agent = new Agent({ keepAlive: false });
  let target = '';
  const pass = (request: IncomingMessage, response: ServerResponse) => {
    const { [NETWORK]: network = SOMEWHERE, 'x-forwarded-for': before, ...headers } = request.headers;
    const passed: Passed = {
      at: performance.now(),
      network: String(network),
      method: request.method ?? '',
      path: new URL(request.url ?? '/', target).pathname,
    };
    log.push(passed);
    headers['x-forwarded-for'] = [before ?? [], network].flat().join(', ');
    // The header belongs to the connection between browser and proxy.
    delete headers.connection;
    const onward = forward(target + request.url, { method: request.method, headers, agent });
    onward.on('response', (answer) => {
      const { connection: _, ...kept } = answer.headers;
      passed.status = answer.statusCode;
      passed.limits = String(answer.headers.ratelimit ?? '');
      response.writeHead(answer.statusCode ?? 502, kept);
      // An event stream begins long before its first event.
      response.flushHeaders();
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  };
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, pass);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, log, leadTo: (server) => (target = server), stop };
}

/** Whether the limit of 100 requests a minute counts a request. The rules are those of `rules_of` in the server. */
export function isCounted({ method, path }: Passed): boolean {
  const creates = method === 'POST' && /^\/api\/(uploads|uploads\/form|upload\/begin)\/?$/.test(path);
  const carriesBytes = method === 'PATCH' && path.startsWith('/api/uploads/');
  return path.startsWith('/api/') && !creates && !carriesBytes;
}

/** The largest number of these requests in any window of one minute. */
export function peakPerMinute(requests: Passed[]): number {
  const times = requests.map(({ at }) => at).sort((a, b) => a - b);
  return Math.max(0, ...times.map((end, last) => times.slice(0, last + 1).filter((at) => at > end - MINUTE_MS).length));
}
