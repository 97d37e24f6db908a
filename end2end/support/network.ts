import type { Page, Request, Route } from '@playwright/test';

/** How many bytes of a file the browser sends in one request. */
export const CHUNK_BYTES = 8 * 1024 * 1024;
export const UPLOADS = '**/api/uploads/**';

/**
 * Limits how fast a page may send. At the speed of a home connection, progress is visible long enough to be measured.
 */
export async function slowUploads(page: Page, bytesPerSecond: number) {
  const devtools = await page.context().newCDPSession(page);
  const limit = (uploadThroughput: number) =>
    devtools.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await devtools.send('Network.enable');
  await limit(bytesPerSecond);
  const restore = async () => {
    await limit(-1);
    await devtools.detach();
  };
  return { restore };
}

/** Holds all requests to an address until the returned function is called, which also lets later requests through. */
export async function hold(page: Page, address: string): Promise<() => void> {
  let letGo = () => {};
  const gone = new Promise<void>((resolve) => (letGo = resolve));
  await page.route(address, async (route) => {
    await gone;
    await route.continue();
  });
  return letGo;
}

/** The offset of the chunk that a request sends. `undefined` for a request that sends none. */
export function chunkOffset(request: Request): number | undefined {
  return request.method() === 'PATCH' ? Number(request.headers()['upload-offset']) : undefined;
}

/**
 * Lets the first `chunks` chunks of each file through. Resolves once a later chunk is sent, which is held until one of
 * the returned functions ends it.
 */
export async function stopAfter(page: Page, chunks: number) {
  const stopped: Route[] = [];
  let stop = () => {};
  const isStopped = new Promise<void>((resolve) => (stop = resolve));
  let isOver = false;
  await page.route(UPLOADS, async (route) => {
    const offset = chunkOffset(route.request());
    if (isOver || offset === undefined || offset < chunks * CHUNK_BYTES) return route.continue();
    stopped.push(route);
    stop();
  });
  await isStopped;
  const end = async (how: (route: Route) => Promise<void>) => {
    isOver = true;
    await Promise.all(stopped.map(how));
    await page.unroute(UPLOADS);
  };
  return {
    breakOff: () => end((route) => route.abort('connectionreset')),
    goOn: () => end((route) => route.continue()),
  };
}
